import { jest } from '@jest/globals';
import { Injectable, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Locked,
  LockConfigurationError,
  LockModule,
  LockService,
  MemoryBackend,
} from 'nestjs-lock';
import { LockPrometheusModule, measureLocks } from 'nestjs-lock/prometheus';
import { type Counter, register, Registry } from 'prom-client';
import { eventually } from '../support/eventually.js';
import { ScriptedBackend } from '../support/scripted-backend.js';

let registry: Registry;
let end: () => void;
let locks: LockService;

beforeEach(() => {
  jest.spyOn(Logger.prototype, 'warn').mockReturnValue(undefined);
  registry = new Registry();
  end = measureLocks({ registry, batches: true });
  locks = new LockService({ shutdownGrace: 0 });
});

afterEach(async () => {
  await locks.close();
  end();
  jest.restoreAllMocks();
});

/** What is scraped of a metric. */
async function scrape(name: string, from = registry): Promise<string[]> {
  const lines = (await from.metrics()).split('\n');
  return lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

it('has the names and units that Prometheus has of what OpenTelemetry measures', async () => {
  const names = registry.getMetricsAsArray().map(({ name }) => name);
  expect(new Set(names)).toEqual(
    new Set([
      'nestjs_lock_acquire_duration_seconds',
      'nestjs_lock_acquire_active',
      'nestjs_lock_hold_duration_seconds',
      'nestjs_lock_hold_active',
      'nestjs_lock_losses_total',
      'nestjs_lock_lease_utilization',
      'nestjs_lock_backend_operation_duration_seconds',
      'nestjs_lock_backend_operation_requests',
      'nestjs_lock_leadership_active',
      'nestjs_lock_leadership_terms_total',
      'nestjs_lock_backend_paused',
      'nestjs_lock_token_regressions_total',
    ]),
  );
});

it('measures what waits and is held', async () => {
  const template = 'order:{id}';
  const lock = await locks.acquire('order:1', { template });
  const next = locks.acquire('order:1', { template });
  const of = 'nestjs_lock_key_template="order:{id}",nestjs_lock_mode="exclusive"';
  const memory = `${of},nestjs_lock_backend="memory"`;
  expect(await scrape('nestjs_lock_hold_active')).toEqual([`nestjs_lock_hold_active{${memory}} 1`]);
  expect(await scrape('nestjs_lock_acquire_active')).toEqual([
    `nestjs_lock_acquire_active{${memory}} 1`,
  ]);
  await lock.release();
  await (await next).release();
  await eventually('both are told', async () => {
    const [count] = await scrape('nestjs_lock_hold_duration_seconds_count');
    return count?.endsWith('nestjs_lock_hold_result="released"} 2') === true;
  });
  expect(await scrape('nestjs_lock_hold_active')).toEqual([`nestjs_lock_hold_active{${memory}} 0`]);
  const counts = await scrape('nestjs_lock_acquire_duration_seconds_count');
  expect(counts).toEqual(
    ['false', 'true'].map((waited) => {
      const result = `nestjs_lock_acquire_result="granted",nestjs_lock_acquire_waited="${waited}"`;
      return `nestjs_lock_acquire_duration_seconds_count{${memory},${result}} 1`;
    }),
  );
});

it('tells whence locks came, if that is asked for', async () => {
  const said = async () => {
    const counts = await scrape('nestjs_lock_acquire_duration_seconds_count');
    return counts.map((line) => /acquire_handoff="(\w+)".* (\d+)$/.exec(line)?.slice(1));
  };
  await locks.withLock('k', () => 1);
  expect(await said()).toEqual([undefined]);
  end();
  end = measureLocks({ registry, handoffs: true });
  await locks.withLock('k', async () => {
    await expect(locks.acquire('other')).resolves.toBeDefined();
  });
  const waiting = locks.acquire('other');
  await locks.forceRelease('other');
  await waiting;
  expect(await said()).toEqual([
    ['none', '2'],
    ['remote', '1'],
  ]);
});

it('counts losses and tokens from 0 on, renewals, calls and leaderships', async () => {
  const lock = await locks.acquire('k');
  expect(await scrape('nestjs_lock_token_regressions_total')).toEqual([
    'nestjs_lock_token_regressions_total{nestjs_lock_backend="memory"} 0',
  ]);
  const losses = async () => (await scrape('nestjs_lock_losses_total')).map((line) => line.at(-1));
  expect(await losses()).toEqual(['0', '0', '0', '0']);
  await lock.renew();
  await locks.forceRelease('k');
  expect(await losses()).toEqual(['0', '1', '0', '0']);
  expect(await scrape('nestjs_lock_lease_utilization_count')).toEqual([
    'nestjs_lock_lease_utilization_count{nestjs_lock_backend="memory"} 1',
  ]);
  for (const metric of ['duration_seconds', 'requests']) {
    const calls = await scrape(`nestjs_lock_backend_operation_${metric}_count`);
    expect(calls.join('\n')).toContain('nestjs_lock_operation_name="renew"} 1');
  }
  const leadership = locks.leader('reports', { template: 'reports' });
  await eventually('it leads', () => leadership.isLeader);
  const of = 'nestjs_lock_key_template="reports",nestjs_lock_backend="memory"';
  for (const metric of ['leadership_active', 'leadership_terms_total']) {
    expect(await scrape(`nestjs_lock_${metric}`)).toEqual([`nestjs_lock_${metric}{${of}} 1`]);
  }
});

it('shows the nodes that are paused', async () => {
  const backend = new ScriptedBackend();
  const connect = backend.connect.bind(backend);
  backend.connect = (process) => {
    process.paused?.(1, 60_000, 'it lost its memory');
    return connect(process);
  };
  locks = new LockService({ backend }, 'billing');
  await locks.tryAcquire('k').then((lock) => lock?.release());
  expect(await scrape('nestjs_lock_backend_paused')).toEqual([
    'nestjs_lock_backend_paused{nestjs_lock_backend="scripted",nestjs_lock_instance="billing"} 1',
  ]);
});

it('ten thousand keys are no more metrics than one', async () => {
  @Injectable()
  class Orders {
    @Locked('order:{0}')
    async ship(_id: number): Promise<void> {}
  }
  const orders = locks.attach(new Orders());
  const lines = async () => (await registry.metrics()).split('\n').length;
  await orders.ship(0);
  const before = await lines();
  for (let id = 0; id < 10_000; id++) await orders.ship(id);
  expect(await lines()).toBe(before);
});

it('leaves nothing in the registry when it ends, and hears nothing more', async () => {
  end();
  expect(registry.getMetricsAsArray()).toEqual([]);
  await locks.withLock('k', () => Promise.resolve());
  end = measureLocks({ registry });
  expect(await scrape('nestjs_lock_hold_duration_seconds_count')).toEqual([]);
  expect(registry.getSingleMetric('nestjs_lock_backend_operation_requests')).toBeUndefined();
});

it('its module measures, in the default registry, until the locks are given back', async () => {
  @Module({
    imports: [
      LockModule.forRoot({ backend: new MemoryBackend(), shutdownGrace: 0 }),
      LockPrometheusModule.forRoot(),
    ],
  })
  class Application {}
  const app = await NestFactory.createApplicationContext(Application, { logger: false });
  await app.get(LockService).acquire('k', { template: 't' });
  expect(await scrape('nestjs_lock_hold_active', register)).toHaveLength(1);
  const counter = register.getSingleMetric('nestjs_lock_losses_total') as Counter;
  const lost = jest.spyOn(counter, 'inc');
  await app.close();
  const shutdown: unknown = expect.objectContaining({ nestjs_lock_lost_reason: 'shutdown' });
  expect(lost).toHaveBeenCalledWith(shutdown, 1);
  await eventually('the registry is empty', () => register.getMetricsAsArray().length === 0);
});

it.each([
  ['registry', {}],
  ['registry', null],
  ['batches', 'yes'],
  ['handoffs', 1],
  ['regsitry', register],
])('options that make no sense are refused: %s', (option, value) => {
  const attempt = () => measureLocks({ [option]: value });
  expect(attempt).toThrow(LockConfigurationError);
  expect(attempt).toThrow(option);
});
