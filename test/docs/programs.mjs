// Runs the programs of the docs that need nothing but this package and Nest, one after the other in one process, and
// compares what they print with the block of text that follows them. Of a long number only that it is one.
import { spawnSync } from 'node:child_process';
import { basename, join } from 'node:path';
import { outDir } from './code.mjs';

const NEEDS_NOTHING =
  /^(node:(?!test)|nestjs-lock$|@nestjs\/(common|core|schedule|event-emitter|bullmq)$|bullmq$)/;

export function runsByItself({ isProgram, code }) {
  const imports = [...code.matchAll(/^(?:import|\} from) .*?'([^']+)';$/gm)];
  return (
    isProgram && imports.every(([, name]) => NEEDS_NOTHING.test(name)) && !/\.listen\(/.test(code)
  );
}

const RUNNER = `
const write = process.stdout.write.bind(process.stdout);
for (const file of process.argv.slice(1)) {
  let output = '';
  process.stdout.write = (text) => ((output += text), true);
  let error;
  try {
    await import(file);
  } catch (thrown) {
    error = thrown?.stack ?? String(thrown);
  }
  process.stdout.write = write;
  console.log(JSON.stringify({ output, error }));
}`;

/** @returns {string[]} which of them failed, or printed something else */
export function run(blocks) {
  const files = blocks.map(({ file }) => join(outDir, `${basename(file, '.mts')}.mjs`));
  const child = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', RUNNER, '--', ...files],
    { encoding: 'utf8', cwd: outDir, timeout: 120_000 },
  );
  const results = child.stdout
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  const wrong = blocks.flatMap(({ page, line, output: expected }, index) => {
    const at = `${page}:${line}`;
    if (results[index] === undefined) return [`${at}: did not end`];
    const { output, error } = results[index];
    if (error !== undefined) return [`${at}: ${error}`];
    if (expected === undefined || masked(output) === masked(expected)) return [];
    return [`${at}: prints\n${output}and not\n${expected}`];
  });
  if (child.status !== 0) {
    wrong.push(`the programs ended with ${child.signal ?? child.status}\n${child.stderr}`);
  }
  return wrong;
}

const masked = (text) => text.replace(/\d{5,}/g, '#');
