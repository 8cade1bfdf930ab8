import { Controller, Get, Inject } from '@nestjs/common';
import {
  HealthCheck,
  HealthCheckService,
  HealthIndicatorService,
  TerminusModule,
} from '@nestjs/terminus';
import {
  type LockBackend,
  LockConfigurationError,
  LockModule,
  LockService,
  type LockModuleExtras,
  type LockModuleOptions,
} from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { LockHealthIndicator, type LockPingCheckSettings } from 'nestjs-lock/terminus';
import request from 'supertest';
import { eventually } from '../support/eventually.js';
import { start, startHttp } from '../support/nest-application.js';
import { RedisServer } from '../support/redis-server.js';

const servers: RedisServer[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.thaw();
    await server.stop();
  }
});

async function redis(...settings: string[]): Promise<RedisServer> {
  const server = await RedisServer.start(settings);
  servers.push(server);
  return server;
}

async function indicatorOf(...modules: (LockModuleOptions & LockModuleExtras)[]) {
  const app = await start({
    imports: [TerminusModule, ...modules.map((options) => LockModule.forRoot(options))],
    providers: [LockHealthIndicator],
  });
  return app.get(LockHealthIndicator);
}

const on = (backend: LockBackend) => indicatorOf({ backend, shutdownGrace: 0 });

const aNumber = expect.any(Number) as number;
const matching = (pattern: RegExp) => expect.stringMatching(pattern) as string;
const up = { status: 'up', paused: false, responseTime: aNumber };

it('is up in memory', async () => {
  const health = await indicatorOf({});
  expect(await health.pingCheck('locks')).toEqual({ locks: up });
});

it('answers a health check by HTTP: 200 when Redis is there, 503 with the reason when it is killed', async () => {
  @Controller('health')
  class HealthController {
    constructor(
      @Inject(HealthCheckService) private readonly health: HealthCheckService,
      @Inject(LockHealthIndicator) private readonly locks: LockHealthIndicator,
    ) {}

    @Get()
    @HealthCheck()
    check() {
      return this.health.check([() => this.locks.pingCheck('locks')]);
    }
  }
  const server = await redis();
  const backend = new RedisBackend({ url: server.url });
  const app = await startHttp({
    imports: [TerminusModule, LockModule.forRoot({ backend, shutdownGrace: 0 })],
    controllers: [HealthController],
    providers: [LockHealthIndicator],
  });
  const url = await app.getUrl();

  const alive = await request(url).get('/health').expect(200);
  expect(alive.body).toMatchObject({ status: 'ok', details: { locks: up } });

  await server.kill();
  const dead = await request(url).get('/health').expect(503);
  expect(dead.body).toMatchObject({
    status: 'error',
    error: {
      locks: { status: 'down', message: matching(/ECONNREFUSED|closed|lost/) },
    },
  });
});

it('is down within its bound while Redis is stopped, and up again after it', async () => {
  const server = await redis();
  const health = await on(new RedisBackend({ url: server.url }));
  expect(await health.pingCheck('locks')).toEqual({ locks: up });

  server.freeze();
  expect(await health.pingCheck('locks', { timeout: '150ms' })).toEqual({
    locks: {
      status: 'down',
      message: matching(/^no answer within 150 ms/),
      responseTime: aNumber,
    },
  });

  server.thaw();
  await eventually('it is up', async () => (await health.pingCheck('locks')).locks.status === 'up');
});

it('says of a password that was refused no more than that', async () => {
  const server = await redis('--requirepass', 'sesame');
  const wrong = server.url.replace('//', '//:open-barley@');
  const health = await on(new RedisBackend({ url: wrong }));
  const { locks } = await health.pingCheck('locks', { timeout: 5_000 });
  expect(locks).toMatchObject({ status: 'down', message: matching(/WRONGPASS/) });
  expect(JSON.stringify(locks)).not.toMatch(/sesame|barley/);
});

it('tells that nothing is granted in the grace after Redis lost its memory', async () => {
  const server = await redis();
  const service = await start({
    imports: [
      TerminusModule,
      LockModule.forRoot({
        backend: new RedisBackend({ url: server.url, failoverGrace: 'on' }),
        ttl: '1m',
        shutdownGrace: 0,
      }),
    ],
    providers: [LockHealthIndicator],
  });
  const health = service.get(LockHealthIndicator);
  await service.get(LockService).acquire('k');
  expect(await health.pingCheck('locks')).toEqual({ locks: up });

  await server.kill();
  await server.launch();
  const paused = async () => (await health.pingCheck('locks')).locks;
  await eventually('it answers', async () => (await paused()).status !== 'down');
  await eventually('it has noticed', async () => (await paused()).paused !== false);
  // Terminus 11 has no such status.
  const known = 'degraded' in new HealthIndicatorService().check('locks');
  expect(await paused()).toEqual({
    status: known ? 'degraded' : 'up',
    paused: matching(/^Redis lost its memory.* it grants nothing new for \d+ ms/),
    responseTime: aNumber,
  });
});

it('asks the named module', async () => {
  const server = await redis();
  const backend = new RedisBackend({ url: server.url });
  const health = await indicatorOf({}, { name: 'billing', backend, shutdownGrace: 0 });
  await server.kill();
  expect(await health.pingCheck('locks')).toEqual({ locks: up });
  const { billing } = await health.pingCheck('billing', { name: 'billing' });
  expect(billing.status).toBe('down');
});

it('is down when the application has closed its locks', async () => {
  const app = await start({
    imports: [TerminusModule, LockModule.forRoot()],
    providers: [LockHealthIndicator],
  });
  await app.get(LockService).close();
  const { locks } = await app.get(LockHealthIndicator).pingCheck('locks');
  expect(locks).toMatchObject({ status: 'down', message: matching(/clos|shut/) });
});

it.each<[string, LockPingCheckSettings, RegExp]>([
  ['a name that nobody has', { name: 'billing' }, /no LockModule 'billing' is registered/],
  ['no time at all', { timeout: 0 }, /timeout must be a positive duration.* got 0/],
])('refuses %s', async (_, settings, message) => {
  const health = await indicatorOf({});
  const check = health.pingCheck('locks', settings);
  await expect(check).rejects.toThrow(LockConfigurationError);
  await expect(check).rejects.toThrow(message);
});
