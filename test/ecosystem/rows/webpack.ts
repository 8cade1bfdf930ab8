import { join } from 'node:path';
import { promisify } from 'node:util';
import webpack from 'webpack';
import { buildRow, home, source } from '../support/builds.js';
import { optionalPackages } from '../support/optional-packages.js';

await buildRow(
  { packages: ['webpack', 'swc-loader'], note: 'one file with all in it' },
  async (folder) => {
    const compiler = webpack({
      context: home,
      entry: source('main.ts'),
      mode: 'production',
      optimization: { minimize: false }, // esbuild's row has a minified one
      target: 'node20',
      experiments: { outputModule: true },
      output: { path: folder, filename: 'main.mjs', module: true, chunkFormat: 'module' },
      resolve: { extensions: ['.ts', '.js'], extensionAlias: { '.js': ['.ts', '.js'] } },
      externalsType: 'import',
      externals: optionalPackages.map((name) => new RegExp(`^${name}(/|$)`)),
      module: {
        rules: [
          {
            test: /\.ts$/,
            loader: 'swc-loader',
            options: {
              jsc: {
                parser: { syntax: 'typescript', decorators: true },
                transform: { legacyDecorator: true, decoratorMetadata: true },
                target: 'es2022',
              },
            },
          },
        ],
      },
    });
    const stats = await promisify(compiler.run.bind(compiler))();
    if (stats?.hasErrors() === true) throw new Error(stats.toString('errors-only'));
    return join(folder, 'main.mjs');
  },
);
