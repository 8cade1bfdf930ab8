// `npm run check:consumers`: installs the packed package as its users would, and uses it.
//
//   esm    Nest 12, an ES module application, ioredis 6, etcd3, pg, terminus 12, telemetry, TypeScript 7
//   cjs    Nest 11, a CommonJS application, ioredis 5, etcd3, pg, terminus 11, telemetry, TypeScript 5.9,
//          old and new module resolution
//   redis  Nest 12, an ES module application, redis 6 (node-redis) and not ioredis, TypeScript 7
//   jest   Nest 11, jest in its default CommonJS mode, and none of the optional peers
//
// TypeScript reads our declarations with skipLibCheck off: an optional peer that leaks into those of
// the root would not compile in `jest`.
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const work = await mkdtemp(join(tmpdir(), 'nestjs-lock-consumers-'));

/** Runs a command in a folder, as one of its scripts would; its output is shown only if it fails. */
function run(cwd, line) {
  const env = {
    ...process.env,
    PATH: join(cwd, 'node_modules/.bin') + delimiter + process.env.PATH,
  };
  return new Promise((resolve, reject) => {
    const child = spawn(line, { cwd, env, shell: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    child.on('close', (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${line}\n${output}\n(in ${cwd})`));
    });
  });
}

const application = `
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  InjectLockService, Locked, LockedStream, LockModule, LockService, MemoryBackend,
} from 'nestjs-lock';

@Injectable()
export class Orders {
  constructor(@InjectLockService() readonly locks: LockService) {}

  @Locked('order:{0}')
  async ship(id: number): Promise<string> {
    return this.locks.withLock('depot', async () => 'shipped ' + id);
  }

  @LockedStream('orders')
  async *all(): AsyncGenerator<number> {
    yield 1;
    yield 2;
  }
}

@Module({ imports: [LockModule.forRoot({ backend: new MemoryBackend() })], providers: [Orders] })
class Application {}

export async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(Application, { logger: ['error', 'warn'] });
  const orders = app.get(Orders);
  const seen: unknown[] = [await orders.ship(7), orders.locks instanceof LockService];
  for await (const order of orders.all()) seen.push(order);
  await app.close();
  if (String(seen) !== 'shipped 7,true,1,2') throw new Error('unexpected: ' + String(seen));
}
`;

// Types only, and that the door opens: no server runs here.
const redis = `
import { LockModule } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';

export const lockModule = () => LockModule.forRoot({ backend: new RedisBackend({ url: 'redis://localhost' }) });
if (typeof RedisBackend !== 'function') throw new Error('no RedisBackend');
`;

const etcd = `
import { Etcd3 } from 'etcd3';
import { LockModule } from 'nestjs-lock';
import { EtcdBackend } from 'nestjs-lock/etcd';

export const byHosts = () => LockModule.forRoot({ backend: new EtcdBackend({ hosts: 'http://localhost:2379' }) });
export const byClient = (client: Etcd3) => LockModule.forRoot({ backend: new EtcdBackend({ client }) });
if (typeof EtcdBackend !== 'function') throw new Error('no EtcdBackend');
`;

const telemetry = `
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { CHANNELS, LockModule, LockService } from 'nestjs-lock';
import { instrumentLocks, LockOpenTelemetryModule } from 'nestjs-lock/opentelemetry';
import { LockPrometheusModule, measureLocks } from 'nestjs-lock/prometheus';
import { Registry } from 'prom-client';

const registry = new Registry();

@Module({
  imports: [
    LockModule.forRoot(),
    LockOpenTelemetryModule.forRoot({ spans: 'all' }),
    LockPrometheusModule.forRoot({ registry }),
  ],
})
class Application {}

export async function measured(): Promise<void> {
  const app = await NestFactory.createApplicationContext(Application, { logger: ['error', 'warn'] });
  const ends = [instrumentLocks({ keys: 'hash' }), measureLocks()];
  await app.get(LockService).withLock('depot', { template: CHANNELS.hold }, async () => undefined);
  const text = await registry.metrics();
  for (const end of ends) end();
  await app.close();
  if (!/hold_duration_seconds_count.*nestjs-lock:hold.* 1/.test(text)) throw new Error(text);
}
`;

// Without @types/pg: our declarations name none of its types.
const postgres = `
import { LockModule } from 'nestjs-lock';
import { PostgresBackend, type PostgresPool } from 'nestjs-lock/postgres';

const connectionString = 'postgres://localhost/app';
export const byUrl = () => LockModule.forRoot({ backend: new PostgresBackend({ connectionString }) });
export const byPool = (pool: PostgresPool) => LockModule.forRoot({ backend: new PostgresBackend({ pool }) });
if (typeof PostgresBackend !== 'function') throw new Error('no PostgresBackend');
`;

// A pool of pg, as its users have it.
const postgresPool = `
import { Pool } from 'pg';
import { byPool } from './postgres';

export const lockModule = () => byPool(new Pool());
`;

// Where redis is installed, ioredis need not be.
const nodeRedis = `
import { createClient, createCluster, createSentinel } from 'redis';
import { LockModule } from 'nestjs-lock';
import { NodeRedisBackend } from 'nestjs-lock/node-redis';

const node = { host: 'localhost', port: 26379 };
const backends = [
  new NodeRedisBackend({ url: 'redis://localhost' }),
  new NodeRedisBackend({ client: createClient() }),
  new NodeRedisBackend({ client: createSentinel({ name: 'locks', sentinelRootNodes: [node] }) }),
  new NodeRedisBackend({ client: createCluster({ rootNodes: [{ url: 'redis://localhost' }] }) }),
];
export const lockModules = () => backends.map((backend) => LockModule.forRoot({ backend }));
`;

const operators = `
import { Controller, Get, Module } from '@nestjs/common';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { LockModule } from 'nestjs-lock';
import { LockDashboardModule, type LockDashboardOptions } from 'nestjs-lock/dashboard';
import { LockHealthIndicator } from 'nestjs-lock/terminus';

@Controller('health')
class HealthController {
  constructor(readonly health: HealthCheckService, readonly locks: LockHealthIndicator) {}

  @Get()
  @HealthCheck()
  check() {
    return this.health.check([() => this.locks.pingCheck('locks', { timeout: '300ms' })]);
  }
}

const options: LockDashboardOptions = { authorize: ({ headers }, action) => action === 'view' && headers.host === 'a' };

@Module({
  imports: [LockModule.forRoot(), TerminusModule, LockDashboardModule.forRoot(options)],
  controllers: [HealthController],
  providers: [LockHealthIndicator],
})
export class Operators {}
`;

const start = (extension) => `
import { main } from './application${extension}';
import './etcd${extension}';
import './operators${extension}';
import './postgres${extension}';
import './redis${extension}';
import { measured } from './telemetry${extension}';

main().then(measured).then(() => process.exit(0), (error: unknown) => { console.error(error); process.exit(1); });
`;

// One process that loads the package both ways must still have one LockService.
const oneCopy = `
const same = require('nestjs-lock').LockService;
import('nestjs-lock').then(({ LockService }) => process.exit(LockService === same ? 0 : 1));
`;

// The command line finds its client, and nobody at the other end: 69.
const unreachable = (...stores) => [
  'nestjs-lock --version',
  ...stores.map(
    (store) =>
      `nestjs-lock list --${store} ${store === 'etcd' ? 'http' : store}://127.0.0.1:1; test $? = 69`,
  ),
];

const spec = `
import { main } from './application';

it('runs', main);
`;

const tsconfig = (options) =>
  JSON.stringify({
    compilerOptions: {
      strict: true,
      skipLibCheck: false,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      target: 'ES2022',
      types: ['node'],
      ...options,
    },
    include: ['*.ts'],
  });

const nest = (major) => ({
  '@nestjs/common': major,
  '@nestjs/core': major,
  '@types/node': '^20',
  'reflect-metadata': '^0.2.2',
  rxjs: '^7.8.2',
});

const exporters = { '@opentelemetry/api': '^1.9.0', 'prom-client': '^15.0.0' };

const consumers = {
  esm: {
    type: 'module',
    dependencies: {
      ...nest('^12'),
      ...exporters,
      '@nestjs/terminus': '^12',
      etcd3: '^1.1.2',
      ioredis: '^6',
      pg: '^8',
      typescript: '^7',
    },
    files: {
      'tsconfig.json': tsconfig({ module: 'nodenext' }),
      'application.ts': application,
      'etcd.ts': etcd,
      'operators.ts': operators,
      'postgres.ts': postgres,
      'redis.ts': redis,
      'telemetry.ts': telemetry,
      'start.ts': start('.js'),
      'one-copy.cjs': oneCopy,
    },
    commands: [
      'tsc',
      'node start.js',
      'node one-copy.cjs',
      ...unreachable('redis', 'etcd', 'postgres'),
    ],
  },
  cjs: {
    type: 'commonjs',
    dependencies: {
      ...nest('^11'),
      ...exporters,
      '@nestjs/terminus': '^11',
      '@types/pg': '^8',
      etcd3: '^1.1.2',
      ioredis: '^5',
      pg: '~8.11',
      typescript: '~5.9',
    },
    files: {
      'tsconfig.json': tsconfig({ module: 'nodenext' }),
      'tsconfig.node10.json': tsconfig({ module: 'commonjs', moduleResolution: 'node10' }),
      'application.ts': application,
      'etcd.ts': etcd,
      'operators.ts': operators,
      'postgres.ts': postgres,
      'postgres-pool.ts': postgresPool,
      'redis.ts': redis,
      'telemetry.ts': telemetry,
      'start.ts': start(''),
      'one-copy.cjs': oneCopy,
    },
    commands: [
      'tsc -p tsconfig.node10.json',
      'tsc',
      'node start.js',
      'node one-copy.cjs',
      ...unreachable('redis', 'etcd', 'postgres'),
    ],
  },
  redis: {
    type: 'module',
    dependencies: { ...nest('^12'), redis: '^6', typescript: '^7' },
    files: {
      'tsconfig.json': tsconfig({ module: 'nodenext' }),
      'redis.ts': nodeRedis,
    },
    commands: ['tsc', 'node redis.js'],
  },
  jest: {
    type: 'commonjs',
    dependencies: {
      ...nest('^11'),
      '@types/jest': '^30',
      jest: '^30',
      'ts-jest': '^29',
      typescript: '~5.9',
    },
    files: {
      'tsconfig.json': tsconfig({
        module: 'commonjs',
        types: ['node', 'jest'],
        isolatedModules: true,
      }),
      'jest.config.js': `module.exports = { preset: 'ts-jest' };`,
      'application.ts': application,
      'application.spec.ts': spec,
      'one-copy.cjs': oneCopy,
    },
    commands: [
      'tsc --noEmit',
      'jest',
      'node one-copy.cjs',
      'nestjs-lock list --redis redis://localhost 2>&1 | grep "npm install ioredis"',
    ],
  },
};

async function check(name, { type, dependencies, files, commands }, tarball) {
  const folder = join(work, name);
  await mkdir(folder);
  const manifest = {
    private: true,
    type,
    dependencies: { ...dependencies, 'nestjs-lock': tarball },
  };
  const all = { 'package.json': JSON.stringify(manifest), ...files };
  for (const [file, text] of Object.entries(all)) await writeFile(join(folder, file), text);
  await run(folder, 'npm install --no-audit --no-fund --no-package-lock --prefer-offline');
  for (const command of commands) await run(folder, command);
}

const packed = await run(root, `npm pack --silent --pack-destination ${work}`);
const tarball = `file:${join(work, packed.trim().split('\n').at(-1))}`;

const checks = Object.entries(consumers).map(([name, consumer]) => check(name, consumer, tarball));
const results = await Promise.allSettled(checks);
Object.keys(consumers).forEach((name, i) => {
  const { status, reason } = results[i];
  console.log(status === 'fulfilled' ? `${name}: ok` : `${name}: FAILED: ${reason.message}`);
});
const ok = results.every(({ status }) => status === 'fulfilled');
if (ok) await rm(work, { recursive: true });
process.exit(ok ? 0 : 1);
