// `npm run simulate`: turns test/simulation into JavaScript, without checking its types, and runs it.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';

const root = join(import.meta.dirname, '..');
const out = join(root, 'node_modules/.cache/simulation');
const sources = [
  ...readdirSync(join(root, 'test/simulation'), { recursive: true })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
    .map((name) => join('simulation', name)),
  'support/clock-shim.ts',
  'support/free-port.ts',
];

if (!existsSync(join(root, 'dist/cjs/index.js'))) {
  console.error('the simulation runs the built package: npm run build');
  process.exit(1);
}

rmSync(out, { recursive: true, force: true });
for (const source of sources) {
  const { outputText } = ts.transpileModule(readFileSync(join(root, 'test', source), 'utf8'), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  const file = join(out, source.replace(/\.ts$/, '.js'));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, outputText);
}
writeFileSync(join(out, 'package.json'), '{ "type": "module" }\n');
writeFileSync(
  join(out, 'support/clock-shim.c'),
  readFileSync(join(root, 'test/support/clock-shim.c')),
);

const child = spawn(process.execPath, [join(out, 'simulation/main.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
  cwd: root,
});
child.on('exit', (code) => process.exit(code ?? 1));
