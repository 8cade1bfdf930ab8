// `npm run bench`: builds the library, gives bench/ what it needs, and runs it there.
//
// bench/ has its own packages, so that neither the published package nor `npm ci` at the root
// carries the peers. What is measured is dist/, copied to where an installed package would be: then
// it finds the same copy of ioredis, etcd3 and Nest as every other contestant.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensurePrograms } from './programs.mjs';

const root = join(import.meta.dirname, '..');
const bench = join(root, 'bench');

ensurePrograms();
run(['run', '--silent', 'build'], root);
if (!isInstalled()) run(['ci', '--no-audit', '--no-fund'], bench);
place(root, 'nestjs-lock');
const { baseline } = parseArgs({ options: { baseline: { type: 'string' } }, strict: false }).values;
rmSync(placeOf('nestjs-lock-baseline'), { recursive: true, force: true });
if (baseline !== undefined) placeBaseline(baseline);

const child = spawn(process.execPath, [join(bench, 'main.mjs'), ...process.argv.slice(2)], {
  stdio: 'inherit',
});
// A Ctrl-C reaches the child as well: it stops its servers, and then we follow.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code) => process.exit(code ?? 1));

function run(args, cwd) {
  const { status } = spawnSync('npm', args, { cwd, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** npm writes this file at the end of each installation. */
function isInstalled() {
  const mark = join(bench, 'node_modules/.package-lock.json');
  return (
    existsSync(mark) && statSync(mark).mtimeMs >= statSync(join(bench, 'package-lock.json')).mtimeMs
  );
}

/** Builds that commit with the packages that are installed here. */
function placeBaseline(ref) {
  const tree = mkdtempSync(join(tmpdir(), 'nestjs-lock-baseline-'));
  const git = (...args) => execFileSync('git', args, { cwd: root, stdio: 'inherit' });
  git('worktree', 'add', '--quiet', '--detach', tree, ref);
  try {
    symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
    execFileSync(process.execPath, ['tools/build.mjs'], { cwd: tree, stdio: 'inherit' });
    place(tree, 'nestjs-lock-baseline');
  } finally {
    git('worktree', 'remove', '--force', tree);
  }
}

function place(source, name) {
  const target = placeOf(name);
  rmSync(target, { recursive: true, force: true });
  for (const part of ['package.json', 'dist']) {
    cpSync(join(source, part), join(target, part), { recursive: true });
  }
}

function placeOf(name) {
  return join(bench, 'node_modules', name);
}
