import { transformFile } from '@swc/core';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildRow, source } from '../support/builds.js';

await buildRow({ packages: ['@swc/core'] }, async (folder) => {
  for (const name of ['application', 'main']) {
    const { code } = await transformFile(source(`${name}.ts`), {
      jsc: {
        parser: { syntax: 'typescript', decorators: true },
        transform: { legacyDecorator: true, decoratorMetadata: true },
        target: 'es2022',
      },
      module: { type: 'es6' },
    });
    await writeFile(join(folder, `${name}.js`), code);
  }
  return join(folder, 'main.js');
});
