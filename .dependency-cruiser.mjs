// The layers of lib/, checked by `npm run check:imports`. Data flows one way:
//   module -> decorator -> interceptor -> service -> lease -> backend
// so that an import against that direction is a mistake, even if only of a type.

const layers = [
  { name: 'module', path: '^lib/(index|lock\\.module)\\.ts$' },
  { name: 'decorators', path: '^lib/decorators/' },
  { name: 'interceptor', path: '^lib/lock\\.interceptor\\.ts$' },
  { name: 'service', path: '^lib/lock\\.service\\.ts$' },
  { name: 'web-locks', path: '^lib/web-locks/' },
  { name: 'leadership', path: '^lib/leadership/' },
  { name: 'lease', path: '^lib/lease/' },
  { name: 'backends', path: '^lib/backends/' },
];

const againstTheFlow = layers.slice(1).map(({ name, path }, above) => ({
  name: `${name}-is-below-${layers[above].name}`,
  comment: `${name} must not know what uses it.`,
  severity: 'error',
  from: { path },
  to: { path: layers.slice(0, above + 1).map((layer) => layer.path) },
}));

const npm = (name) => `(^|/)node_modules/${name}/`;

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...againstTheFlow,
    {
      name: 'no-cycles',
      comment:
        'With emitDecoratorMetadata a cycle is a ReferenceError at load; and of two files that need each other, ' +
        'not even for types, none can be read first.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'backends-know-no-nest',
      comment: 'A store must do what lock-backend.ts says, and nothing that needs Nest.',
      severity: 'error',
      from: { path: '^lib/backends/' },
      to: { path: npm('@nestjs/[^/]+') },
    },
    {
      name: 'only-the-contract',
      comment:
        'Whoever is not a store speaks to lock-backend.ts. Memory is the default, so it may be named. ' +
        'The command line opens stores, as a user does.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/(backends|testing|cli)/' },
      to: { path: '^lib/backends/[^/]+/', pathNot: '^lib/backends/memory/' },
    },
    {
      name: 'lease-knows-no-store',
      comment: 'Not even the default one.',
      severity: 'error',
      from: { path: '^lib/lease/' },
      to: { path: '^lib/backends/[^/]+/', reachable: true },
    },
    {
      name: 'backends-are-strangers',
      comment:
        'What two stores share lies beside them in lib/backends, and what Redis and Redlock share in ' +
        'redis-common. Both are found behind the same door. By node-redis, Redis is the same store.',
      severity: 'error',
      from: {
        path: '^lib/backends/([^/]+)/',
        pathNot: '^lib/backends/(redis/index\\.ts$|node-redis/)',
      },
      to: { path: '^lib/backends/[^/]+/', pathNot: '^lib/backends/($1|redis-common)/' },
    },
    {
      name: 'node-redis-is-only-a-connection',
      comment: 'It brings the connections, and the locks are those of redis.',
      severity: 'error',
      from: { path: '^lib/backends/node-redis/' },
      to: {
        path: '^lib/backends/[^/]+/',
        pathNot: '^lib/backends/(node-redis|redis|redis-common)/',
      },
    },
    {
      name: 'one-client-of-redis-is-enough',
      comment:
        'Who has node-redis need not have ioredis, however indirectly, and not even for types.',
      severity: 'error',
      from: { path: '^lib/backends/node-redis/' },
      to: { path: npm('ioredis'), reachable: true },
    },
    {
      name: 'redis-only-in-its-backend',
      comment: 'redis (node-redis) is an optional peer.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/backends/node-redis/' },
      to: { path: npm('redis') },
    },
    {
      name: 'redis-common-is-for-redis',
      comment: 'What is in there speaks to Redis.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/backends/(redis|redis-common|redlock|node-redis)/' },
      to: { path: '^lib/backends/redis-common/' },
    },
    {
      name: 'ioredis-only-in-its-backends',
      comment: 'ioredis is an optional peer.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/backends/(redis|redis-common|redlock)/' },
      to: { path: npm('ioredis') },
    },
    {
      name: 'etcd3-only-in-its-backend',
      comment: 'etcd3 is an optional peer.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/backends/etcd/' },
      to: { path: npm('etcd3') },
    },
    {
      name: 'pg-only-in-its-backend',
      comment: 'pg is an optional peer.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/backends/postgres/' },
      to: { path: npm('pg') },
    },
    {
      name: 'opentelemetry-only-behind-its-door',
      comment: '@opentelemetry/api is an optional peer.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/opentelemetry/' },
      to: { path: npm('@opentelemetry/[^/]+') },
    },
    {
      name: 'prom-client-only-behind-its-door',
      comment: 'prom-client is an optional peer.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/prometheus/' },
      to: { path: npm('prom-client') },
    },
    {
      name: 'telemetry-watches',
      comment: 'What exports telemetry hears the channels, as anybody may: nothing counts on it.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/(opentelemetry|prometheus)/' },
      to: { path: '^lib/(opentelemetry|prometheus)/' },
    },
    {
      name: 'telemetry-knows-nobody',
      comment:
        'Those who tell of something know it, and it knows of what is told only the contract.',
      severity: 'error',
      from: { path: '^lib/telemetry/' },
      to: {
        path: '^lib/',
        pathNot: '^lib/(telemetry/|errors/|interfaces/|time/|backends/lock-backend\\.ts)',
      },
    },
    {
      name: 'terminus-only-in-its-indicator',
      comment: '@nestjs/terminus is an optional peer.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/terminus/' },
      to: { path: npm('@nestjs/terminus') },
    },
    {
      name: 'no-optional-peer-behind-the-front-door',
      comment: "Importing 'nestjs-lock' must never load an optional peer, however indirectly.",
      severity: 'error',
      from: { path: '^lib/((testing|dashboard)/)?index\\.ts$' },
      to: {
        path: npm('(ioredis|redis|etcd3|pg|@nestjs/terminus|@opentelemetry/[^/]+|prom-client)'),
        reachable: true,
      },
    },
    {
      name: 'no-undeclared-package',
      comment: 'What lib/ imports must be a dependency or a peer of the published package.',
      severity: 'error',
      from: { path: '^lib/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'],
        dependencyTypesNot: ['npm', 'npm-peer', 'type-only'],
      },
    },
    {
      name: 'views-are-on-top',
      comment:
        'What operators look through is built on the service. The command line serves the dashboard.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/(cli|dashboard|terminus)/' },
      to: { path: '^lib/(dashboard|terminus)/' },
    },
    {
      name: 'cli-is-on-top',
      comment: 'The command line is a program of its own: only ESM, and nothing for a library.',
      severity: 'error',
      from: { path: '^lib/', pathNot: '^lib/cli/' },
      to: { path: '^lib/cli/' },
    },
    {
      name: 'lib-stands-alone',
      severity: 'error',
      from: { path: '^lib/' },
      to: { path: '^(test|tools|bench|sample-app)/' },
    },
    { name: 'not-found', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true, // sees `import type` too
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types'] },
    skipAnalysisNotInRules: true,
  },
};
