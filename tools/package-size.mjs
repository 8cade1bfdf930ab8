// Part of `npm run check:package`: the package stays small, and holds only what its users need.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Unpacked, in bytes. */
const BUDGET = 1_900_000;

const root = join(import.meta.dirname, '..');
const packed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
  cwd: root,
  encoding: 'utf8',
});
const [{ unpackedSize, files }] = JSON.parse(packed);

const wrong = files.flatMap(({ path }) => {
  if (!/^(dist\/.*\.(js|d\.ts)|dist\/cjs\/package\.json|[^/]+)$/.test(path))
    return [`${path} is packed`];
  // A source map would lead to sources that are not packed.
  const leadsOut =
    /\.js$/.test(path) && readFileSync(join(root, path), 'utf8').includes('sourceMappingURL=');
  return leadsOut ? [`${path} names a source map`] : [];
});
if (unpackedSize > BUDGET)
  wrong.push(`the package has ${unpackedSize} bytes, and ${BUDGET} at most`);

for (const what of wrong) console.error(what);
console.log(`${files.length} files, ${unpackedSize} of ${BUDGET} bytes`);
process.exitCode = wrong.length === 0 ? 0 : 1;
