import { testRow } from '../support/builds.js';

await testRow({ packages: ['vitest', 'unplugin-swc'] }, (name) => [
  'node_modules/vitest/vitest.mjs',
  ...['run', '--config', 'builds/vitest.config.mjs', '-t', name],
]);
