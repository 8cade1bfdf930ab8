// `npm run ecosystem`: real applications with the packages that people use beside this one, each with
// `@Locked` above and below the package's own decorator, on the package as it is published.
// `npm run ecosystem -- cqrs typeorm`: only these rows, and the table stays as it is.
//
// test/ecosystem has its own packages, some 500 of them, so that `npm ci` at the root carries none. The
// table in docs/ecosystem.md is written from what was seen, and a row that is not as recorded fails the run.
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import prettier from 'prettier';
import { newestLts } from './newest-lts.mjs';
import { ensurePrograms } from './programs.mjs';

const root = join(import.meta.dirname, '..');
const folder = join(root, 'test/ecosystem');
const page = join(root, 'docs/ecosystem.md');

/** Their packages ask for Node 22: where there is an older one, they run on the newest LTS. */
const onNode22 = ['mikro-orm', 'nestjs-otel'];
const PATIENCE_MS = 120_000;

ensurePrograms();
install();
const wanted = process.argv.slice(2);
const names = readdirSync(join(folder, 'rows')).map((file) => basename(file, '.ts'));
const chosen = wanted.length > 0 ? wanted : names;

const rows = [];
let failed = 0;
for (const name of chosen) {
  const row = await run(name);
  const problems = judge(row);
  console.log(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${name}: ${summary(row)}`);
  for (const problem of problems) console.log(`       ${problem.replaceAll('\n', '\n       ')}`);
  if (problems.length > 0) failed += 1;
  rows.push(row);
}
if (chosen === names && rows.every(({ seen }) => seen !== undefined)) await writeTable();
console.log(`\n${rows.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

/** Installs what the rows need (what this package depends on is among it), and this package as it is published. */
function install() {
  command('npm', ['run', '--silent', 'build'], root);
  const mark = join(folder, 'node_modules/.package-lock.json');
  const lock = join(folder, 'package-lock.json');
  if (!existsSync(mark) || statSync(mark).mtimeMs < statSync(lock).mtimeMs) {
    command('npm', ['ci', '--loglevel', 'error'], folder);
  }
  const packed = mkdtempSync(join(tmpdir(), 'nestjs-lock-ecosystem-'));
  command('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', packed], root);
  const place = join(folder, 'node_modules/nestjs-lock');
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
  const [tarball] = readdirSync(packed);
  command('tar', ['-xzf', join(packed, tarball), '-C', place, '--strip-components=1'], root);
  rmSync(packed, { recursive: true });
  rmSync(join(folder, 'dist'), { recursive: true, force: true });
  command(process.execPath, [join(folder, 'node_modules/typescript/bin/tsc'), '-p', folder], root);
}

function command(program, args, cwd) {
  const { status } = spawnSync(program, args, { cwd, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** Runs a row in a process of its own; its last line says what it saw. */
async function run(name) {
  const node = onNode22.includes(name) ? newestLts() : process.execPath;
  const child = spawn(node, [join(folder, 'dist/rows', `${name}.js`)], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  child.stderr.on('data', (data) => (output += data));
  await new Promise((resolve) => child.on('close', resolve));
  const line = output.split('\n').find((it) => it.startsWith('ROW '));
  return line === undefined ? { output } : { ...JSON.parse(line.slice(4)), output };
}

/** What is not as recorded. */
function judge({ seen, expected, output }) {
  if (seen === undefined) return [output];
  return Object.entries(seen).flatMap(([order, { problem, story, ...verdict }]) => {
    const { locked, works, released } = expected[order];
    const { locked: isLocked, works: itWorks, released: when } = verdict;
    if (isDeepStrictEqual([isLocked, itWorks, when], [locked, works, released])) return [];
    const wanted = JSON.stringify(expected[order]);
    return [
      `${order}: ${JSON.stringify(verdict)}, recorded ${wanted}\n${story}\n${problem ?? output}`,
    ];
  });
}

function summary({ seen = {} }) {
  return Object.entries(seen)
    .map(([order, { locked, works, released, remark }]) => {
      const words = [locked ? 'locked' : 'NOT LOCKED', works ? 'works' : 'DOES NOT WORK', released];
      return `${order}: ${[...words, remark].filter(Boolean).join(', ')}`;
    })
    .join(' | ');
}

async function writeTable() {
  const head =
    '| package | beside | locked | works | given back, `@Locked` above | given back, below | |\n| - | - | - | - | - | - | - |';
  const lines = rows.map(({ versions, beside, wraps, note, seen }) => {
    const orders = Object.keys(seen);
    const where = (fact) => {
      const those = orders.filter((order) => seen[order][fact]);
      if (those.length === orders.length) return 'yes';
      return those.length === 0 ? '**no**' : `only ${those.join()}`;
    };
    const when = (order) => {
      if (seen[order] === undefined) return '–';
      const { released, remark } = seen[order];
      const words = released === 'never' ? '**never**' : `${released} ${wraps ?? 'the handler'}`;
      return remark === undefined ? words : `${words}: ${remark}`;
    };
    const name = versions.map(([it, version]) => `${it} ${version}`).join(', ');
    const cells = [name, beside, where('locked'), where('works'), when('above'), when('below')];
    return `| ${[...cells, note ?? ''].join(' | ')} |`;
  });
  const [before, , after] = readFileSync(page, 'utf8').split(
    /<!-- (?:begin|end) of the table -->\n/,
  );
  const marked = [
    '<!-- begin of the table -->',
    '',
    head,
    ...lines,
    '',
    '<!-- end of the table -->',
  ];
  const text = `${before}${marked.join('\n')}\n${after}`;
  const style = await prettier.resolveConfig(page);
  writeFileSync(page, await prettier.format(text, { ...style, filepath: page }));
}
