import { jest } from '@jest/globals';
import { Injectable, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Locked,
  type LockBackend,
  LockConfigurationError,
  LockModule,
  LockService,
  MemoryBackend,
} from 'nestjs-lock';
import { instrumentLocks, LockOpenTelemetryModule } from 'nestjs-lock/opentelemetry';
import { RedisBackend } from 'nestjs-lock/redis';
import { METRICS } from '../../lib/telemetry/metrics.js';
import { eventually } from '../support/eventually.js';
import { RedisServer } from '../support/redis-server.js';
import { ScriptedBackend } from '../support/scripted-backend.js';
import { type Point, TelemetrySdk } from '../support/telemetry-sdk.js';

let sdk: TelemetrySdk;
let end: () => void;
const services: LockService[] = [];

beforeEach(() => {
  jest.spyOn(Logger.prototype, 'warn').mockReturnValue(undefined);
  sdk = new TelemetrySdk();
});

afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.close()));
  end();
  await sdk.stop();
  jest.restoreAllMocks();
});

function serve(backend: LockBackend, name?: string): LockService {
  const service = new LockService({ backend, shutdownGrace: 0 }, name);
  services.push(service);
  return service;
}

function instrument(options: Parameters<typeof instrumentLocks>[0] = {}): void {
  const { meterProvider, tracerProvider } = sdk;
  end = instrumentLocks({ meterProvider, tracerProvider, ...options });
}

/** The points of a metric, in a line each. */
async function read(name: string): Promise<string[]> {
  return (await sdk.points(name)).map(({ attributes, value }) => {
    const said = Object.entries(attributes).map(([attribute, of]) => {
      return `${attribute.replace('nestjs_lock.', '')}=${String(of)}`;
    });
    return `${said.sort().join(' ')}: ${typeof value === 'number' ? value : value.count}`;
  });
}

const sumOf = (points: readonly Point[]) =>
  points.reduce(
    (sum, { value }) => sum + (typeof value === 'number' ? value : (value.sum ?? 0)),
    0,
  );

describe.each([
  ['memory', 10_000],
  ['redis', 1_000],
])('on %s', (name, keys) => {
  let redis: RedisServer | undefined;
  let backend: LockBackend;

  beforeEach(async () => {
    if (name === 'memory') backend = new MemoryBackend();
    else backend = new RedisBackend({ url: (redis = await RedisServer.start()).url });
  });

  afterEach(async () => {
    await Promise.all(services.splice(0).map((service) => service.close()));
    await redis?.stop();
  });

  it('requests for locks are measured, by what became of them', async () => {
    instrument();
    const locks = serve(backend);
    const template = 'order:{id}';
    const lock = await locks.acquire('order:1', { template });
    const next = locks.acquire('order:1', { template });
    expect(await locks.tryAcquire('order:1', { template })).toBeNull();
    await expect(locks.acquire('order:1', { wait: 0 })).rejects.toThrow('held by another');
    expect(await read('nestjs_lock.acquire.active')).toContain(
      `backend=${name} key.template=order:{id} mode=exclusive: 1`,
    );
    await lock.release();
    await (await next).release();
    const of = `backend=${name}`;
    const lockOf = `${of} key.template=order:{id} mode=exclusive`;
    expect(new Set(await read('nestjs_lock.acquire.duration'))).toEqual(
      new Set([
        `acquire.result=granted acquire.waited=false ${lockOf}: 1`,
        `acquire.result=granted acquire.waited=true ${lockOf}: 1`,
        `acquire.result=busy acquire.waited=false ${lockOf}: 1`,
        `acquire.result=busy acquire.waited=false ${of} error.type=LOCK_TIMEOUT mode=exclusive: 1`,
      ]),
    );
    expect(await read('nestjs_lock.acquire.active')).toContain(`${lockOf}: 0`);
  });

  it('requests tell whence their locks came, if that is asked for', async () => {
    instrument({ handoffs: true });
    const locks = serve(backend);
    const lock = await locks.acquire('k');
    const next = locks.acquire('k');
    await eventually('it waits', async () => (await locks.inspect('k')).waiters > 0);
    await lock.release();
    await (await next).release();
    const of = `acquire.result=granted acquire.waited`;
    expect(new Set(await read('nestjs_lock.acquire.duration'))).toEqual(
      new Set([
        `acquire.handoff=none ${of}=false backend=${name} mode=exclusive: 1`,
        `acquire.handoff=remote ${of}=true backend=${name} mode=exclusive: 1`,
      ]),
    );
  });

  it('what is held is measured, in seconds, and counted also for who comes late', async () => {
    const locks = serve(backend, 'billing');
    const before = await locks.acquire('k', { template: 't' });
    instrument();
    const lockOf = `backend=${name} instance=billing key.template=t mode=exclusive`;
    expect(await read('nestjs_lock.hold.active')).toEqual([`${lockOf}: 1`]);
    await before.release();
    expect(await read('nestjs_lock.hold.active')).toEqual([`${lockOf}: 0`]);
    await locks.withLock('k', { template: 't' }, () => new Promise((done) => setTimeout(done, 30)));
    expect(await read('nestjs_lock.hold.duration')).toEqual([
      `${lockOf.replace('instance', 'hold.result=released instance')}: 1`,
    ]);
    expect(sumOf(await sdk.points('nestjs_lock.hold.duration'))).toBeGreaterThan(0.025);
    expect(sumOf(await sdk.points('nestjs_lock.hold.duration'))).toBeLessThan(30);
  });

  it('losses are counted by their reason, from 0 on for those that alarm', async () => {
    instrument();
    const locks = serve(backend);
    const lock = await locks.acquire('k', { template: 't' });
    const lockOf = `backend=${name} key.template=t lost.reason=`;
    const zero = ['expired', 'stolen', 'max_hold', 'backend'].map((reason) => {
      return `${lockOf}${reason} mode=exclusive: 0`;
    });
    expect(await read('nestjs_lock.losses')).toEqual(zero);
    await locks.forceRelease('k');
    await eventually('the holder is told', () => !lock.held);
    expect(await read('nestjs_lock.losses')).toContain(`${lockOf}stolen mode=exclusive: 1`);
    expect(await read('nestjs_lock.hold.duration')).toEqual([
      `backend=${name} hold.result=lost key.template=t lost.reason=stolen mode=exclusive: 1`,
    ]);
  });

  it('renewals, and all calls of the backend, are measured', async () => {
    instrument({ batches: true });
    const locks = serve(backend);
    const lock = await locks.acquire('k', { ttl: '1s' });
    await eventually('it is renewed', async () => {
      return (await read('nestjs_lock.lease.utilization')).length > 0;
    });
    const used = sumOf(await sdk.points('nestjs_lock.lease.utilization'));
    expect(used).toBeGreaterThan(0.3);
    await lock.release();
    await locks.inspect('k');
    for (const metric of ['duration', 'requests']) {
      const calls = await read(`nestjs_lock.backend.operation.${metric}`);
      for (const operation of ['acquire', 'renew', 'release', 'inspect']) {
        expect(calls.join('\n')).toContain(`backend=${name} operation.name=${operation}: `);
      }
    }
  });

  it('leaderships are counted: who has them, and how often they change hands', async () => {
    instrument();
    const locks = serve(backend);
    const leadership = locks.leader('reports', { template: 'reports' });
    await eventually('it leads', () => leadership.isLeader);
    const of = `backend=${name} key.template=reports: `;
    expect(await read('nestjs_lock.leadership.active')).toEqual([`${of}1`]);
    expect(await read('nestjs_lock.leadership.terms')).toEqual([`${of}1`]);
    await leadership.stepDown();
    await eventually('it leads again', () => leadership.isLeader);
    expect(await read('nestjs_lock.leadership.terms')).toEqual([`${of}2`]);
    await leadership.withdraw();
    expect(await read('nestjs_lock.leadership.active')).toEqual([`${of}0`]);
  });

  it('thousands of keys are no more metrics than one', async () => {
    instrument({ batches: true });
    @Injectable()
    class Orders {
      @Locked('order:{0}')
      async ship(_id: number): Promise<void> {}
    }
    const orders = serve(backend).attach(new Orders());
    await orders.ship(0);
    // What is shown of calls of the backend depends on how they come together.
    await Promise.all(Array.from({ length: 100 }, (_, id) => orders.ship(id)));
    const before = await sdk.series();
    for (let id = 0; id < keys; id += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, next) => orders.ship(id + next)));
    }
    expect(await sdk.series()).toBe(before);
  }, 60_000);
});

describe('what must not be', () => {
  it('a token that does not rise is counted', async () => {
    instrument();
    const backend = new ScriptedBackend();
    const locks = serve(backend);
    const tokens = [7, 8, 7, 9];
    backend.acquire = (request) =>
      Promise.resolve({ ...backend.grant(request), token: tokens.shift() ?? 0 });
    const take = async () => {
      await (await locks.acquire('k')).release();
      return read('nestjs_lock.token.regressions');
    };
    expect(await take()).toEqual(['backend=scripted: 0']);
    expect(await take()).toEqual(['backend=scripted: 0']);
    expect(await take()).toEqual(['backend=scripted: 1']);
    expect(await take()).toEqual(['backend=scripted: 1']);
  });

  it('two services have nothing to do with each other, nor have those who share', async () => {
    instrument();
    const backend = new ScriptedBackend();
    let token = 9;
    backend.acquire = (request) => Promise.resolve({ ...backend.grant(request), token: --token });
    for (const locks of [serve(backend), serve(backend)]) await locks.acquire('k');
    const locks = serve(backend);
    for (const options of [{ mode: 'shared' }, { limit: 2 }] as const) {
      for (let time = 0; time < 2; time++) await locks.acquire('k', options);
    }
    expect(await read('nestjs_lock.token.regressions')).toEqual(['backend=scripted: 0']);
  });

  it('a Redis that lost its memory is paused', async () => {
    const redis = await RedisServer.start();
    instrument();
    const backend = new RedisBackend({ url: redis.url, failoverGrace: 'on', commandTimeout: 500 });
    const locks = serve(backend);
    await locks.acquire('k', { ttl: '5s' });
    expect(await read('nestjs_lock.backend.paused')).toEqual(['backend=redis: 0']);
    await redis.kill();
    await redis.launch();
    await eventually('it is paused', async () => {
      return (await read('nestjs_lock.backend.paused'))[0] === 'backend=redis: 1';
    });
    await eventually('it goes on', async () => {
      return (await read('nestjs_lock.backend.paused'))[0] === 'backend=redis: 0';
    });
    await locks.close();
    await redis.stop();
  });
});

it('what is measured has the names, units and buckets of the table', async () => {
  instrument();
  const meters = jest.spyOn(sdk.meterProvider, 'getMeter');
  end();
  instrument();
  expect(meters).toHaveBeenCalledWith('nestjs-lock');
  for (const [name, { unit }] of Object.entries(METRICS)) {
    expect(name).toMatch(/^nestjs_lock(\.[a-z]+)+$/);
    expect(unit).toMatch(/^(s|1|\{[a-z]+\})$/);
  }
});

it('the module measures until the locks of its application are given back', async () => {
  const { meterProvider, tracerProvider } = sdk;
  @Module({
    imports: [
      LockModule.forRoot({ shutdownGrace: 0 }),
      LockOpenTelemetryModule.forRoot({ meterProvider, tracerProvider }),
    ],
  })
  class Application {}
  const app = await NestFactory.createApplicationContext(Application, { logger: false });
  const locks = app.get(LockService);
  await locks.acquire('k', { template: 't' });
  await app.close();
  expect(await read('nestjs_lock.losses')).toContain(
    'backend=memory key.template=t lost.reason=shutdown mode=exclusive: 1',
  );
  const other = serve(new MemoryBackend());
  await other.withLock('k', { template: 'afterwards' }, () => Promise.resolve());
  expect((await read('nestjs_lock.hold.duration')).join()).not.toContain('afterwards');
  end = () => {};
});

it.each([
  ['spans', 'some'],
  ['keys', true],
  ['leadershipSpans', 1],
  ['batches', 'yes'],
  ['holderLinks', 'yes'],
  ['handoffs', 1],
  ['meterProvider', {}],
  ['tracerProvider', null],
  ['sapns', 'all'],
])('options that make no sense are refused: %s', (option, value) => {
  end = () => {};
  const attempt = () => instrumentLocks({ [option]: value });
  expect(attempt).toThrow(LockConfigurationError);
  expect(attempt).toThrow(option);
});
