// `npm run build`: lib/ -> dist/esm and dist/cjs.
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const run = (...command) =>
  execFileSync(process.execPath, command, { cwd: root, stdio: 'inherit' });
const nest = join(root, 'node_modules/@nestjs/cli/bin/nest.js');

run('tools/embed-scripts.mjs');
run(nest, 'build', 'lib');
run(nest, 'build', 'lib-cjs');
run('tools/slim.mjs');

// The package says "type": "module"; this folder says otherwise for what is below it.
writeFileSync(join(root, 'dist/cjs/package.json'), '{ "type": "commonjs" }\n');

// The command line: npm makes it executable where it is installed, and nobody does here.
chmodSync(join(root, 'dist/esm/cli/main.js'), 0o755);
