// `npm run docs`: builds the site into docs/.vitepress/dist. `npm run docs:dev`: serves it while it is written.
//
// docs/ has its own packages, so that `npm ci` at the root does not carry those of a site.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const docs = join(root, 'docs');
const [command = 'build'] = process.argv.slice(2);

if (!isInstalled()) run('npm', ['ci'], docs);
// First the reference: the site links to it, and a dead link ends its build.
run('npm', ['run', '--silent', 'prepare'], root);
run(process.execPath, ['node_modules/typedoc/bin/typedoc'], root);
run(process.execPath, ['node_modules/vitepress/bin/vitepress.js', command], docs);

function run(program, args, cwd) {
  const { status } = spawnSync(program, args, { cwd, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** npm writes this file at the end of each installation. */
function isInstalled() {
  const mark = join(docs, 'node_modules/.package-lock.json');
  return (
    existsSync(mark) && statSync(mark).mtimeMs >= statSync(join(docs, 'package-lock.json')).mtimeMs
  );
}
