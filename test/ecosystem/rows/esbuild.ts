import { build } from 'esbuild';
import { join } from 'node:path';
import { buildRow, source } from '../support/builds.js';
import { optionalPackages } from '../support/optional-packages.js';

await buildRow(
  {
    packages: ['esbuild'],
    note: 'one minified file with all in it; esbuild writes no types for Nest: inject by token',
  },
  async (folder) => {
    const outfile = join(folder, 'main.mjs');
    const require =
      'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';
    await build({
      entryPoints: [source('main.ts')],
      outfile,
      bundle: true,
      minify: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      external: optionalPackages,
      banner: { js: require },
      logLevel: 'warning',
    });
    return outfile;
  },
);
