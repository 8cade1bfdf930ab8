// `npm run bench`: builds the library, gives bench/ what it needs, and runs it there.
//
// bench/ has its own packages, so that neither the published package nor `npm ci` at the root
// carries the peers. What is measured is dist/, copied to where an installed package would be: then
// it finds the same copy of ioredis, etcd3 and Nest as every other contestant.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePrograms } from './programs.mjs';

const root = join(import.meta.dirname, '..');
const bench = join(root, 'bench');

ensurePrograms();
run(['run', '--silent', 'build'], root);
if (!isInstalled()) run(['ci', '--no-audit', '--no-fund'], bench);
place();

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

function place() {
  const target = join(bench, 'node_modules/nestjs-lock');
  rmSync(target, { recursive: true, force: true });
  for (const part of ['package.json', 'dist']) {
    cpSync(join(root, part), join(target, part), { recursive: true });
  }
}
