import { testRow } from '../support/builds.js';

await testRow({ packages: ['jest', '@swc/jest'], note: 'as ES modules' }, (name) => [
  '--experimental-vm-modules',
  'node_modules/jest/bin/jest.js',
  ...['--config', 'builds/jest.config.mjs', '-t', name],
]);
