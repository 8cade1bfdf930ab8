// Nest 12 is ESM only, so jest runs in ESM mode (see the flags in tools/test.mjs). In ESM mode
// `jest` itself comes from '@jest/globals', and fakes are injected, never jest.mock()ed.

/** @type {import('jest').Config} */
const base = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    // Specs speak to the source, under the names that users import.
    '^nestjs-lock$': '<rootDir>/lib/index.ts',
    '^nestjs-lock/dashboard$': '<rootDir>/lib/dashboard/index.ts',
    '^nestjs-lock/etcd$': '<rootDir>/lib/backends/etcd/index.ts',
    '^nestjs-lock/node-redis$': '<rootDir>/lib/backends/node-redis/index.ts',
    '^nestjs-lock/opentelemetry$': '<rootDir>/lib/opentelemetry/index.ts',
    '^nestjs-lock/prometheus$': '<rootDir>/lib/prometheus/index.ts',
    '^nestjs-lock/postgres$': '<rootDir>/lib/backends/postgres/index.ts',
    '^nestjs-lock/redis$': '<rootDir>/lib/backends/redis/index.ts',
    '^nestjs-lock/terminus$': '<rootDir>/lib/terminus/index.ts',
    '^nestjs-lock/testing$': '<rootDir>/lib/testing/index.ts',
  },
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/sample-app/dist/'],
  transform: { '^.+\\.ts$': ['ts-jest', { useESM: true, tsconfig: 'tsconfig.json' }] },
};

/** A project is a folder of test/. */
const project = (displayName, more = {}) => ({
  ...base,
  displayName,
  testMatch: [`<rootDir>/test/${displayName}/**/*.spec.ts`],
  ...more,
});

const decorators = { testMatch: ['<rootDir>/test/decorators/**/*.spec.ts'] };

/** @type {import('jest').Config} */
export default {
  // For a test that hangs: what must come soon has a bound of its own, which says what did not.
  testTimeout: 90_000,
  testSequencer: '<rootDir>/tools/jest-sequencer.mjs',
  // In ESM mode jest keeps every module of every spec file: a worker begins anew when that is too much.
  workerIdleMemoryLimit: '1GB',
  projects: [
    project('unit'),
    project('conformance'),
    project('decorator', decorators),
    project('operators'),
    // The same specs on Nest 11 and ioredis 5, which the workspace test/nest-11 installs.
    project('nest-11', {
      testMatch: ['decorators', 'operators'].map(
        (folder) => `<rootDir>/test/${folder}/**/*.spec.ts`,
      ),
      moduleNameMapper: {
        ...base.moduleNameMapper,
        '^@nestjs/(.*)$': '<rootDir>/test/nest-11/node_modules/@nestjs/$1',
        '^ioredis$': '<rootDir>/test/nest-11/node_modules/ioredis',
      },
    }),
    project('opentelemetry'),
    // The same specs on the SDK's next major, which the workspace test/opentelemetry-3 installs.
    project('opentelemetry-3', {
      testMatch: ['<rootDir>/test/opentelemetry/**/*.spec.ts'],
      moduleNameMapper: {
        ...base.moduleNameMapper,
        '^@opentelemetry/(api|context-async-hooks|core|resources|sdk-metrics|sdk-trace)$':
          '<rootDir>/test/opentelemetry-3/node_modules/@opentelemetry/$1',
      },
    }),
    project('integration'),
    // With the packages that the workspace test/orms installs.
    project('orms'),
    project('browser'),
    project('simulation'),
    project('faults'),
  ],
  reporters: ['default', '<rootDir>/tools/jest-reporter.mjs'],
  collectCoverageFrom: ['lib/**/*.ts'],
};
