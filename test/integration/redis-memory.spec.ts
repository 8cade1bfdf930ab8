import { Logger } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { LockBackendError, LockService } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { Keyspace } from '../../lib/backends/redis-common/keyspace.js';
import { redisScripts } from '../../lib/backends/redis/redis-scripts.js';
import { RedisServer } from '../support/redis-server.js';

const keyspace = new Keyspace('', 'nestjs-lock');
const { guard, sequence } = keyspace;

let server: RedisServer;
let admin: Redis;
const services: LockService[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
  admin = server.client();
});

afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.close()));
  await admin.flushall();
});

afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

function open(failoverGrace: 'on' | 'off'): LockService {
  const backend = new RedisBackend({ url: server.url, failoverGrace });
  const service = new LockService({ backend, shutdownGrace: 0 });
  service.onModuleInit();
  services.push(service);
  return service;
}

/** What a guard counts on: the longest lease that may live, in milliseconds. */
async function longest(): Promise<number> {
  return Number((await admin.get(guard))?.split(' ')[3]);
}

it('a sequence that is ahead of the clock is not driven further by reserves', async () => {
  const ahead = (Date.now() + 3_600_000) * 1_000;
  const terms = ['', 'ordinary channel:', 3_500, 0, 'one:1 0 64 30000'];
  const keys = [sequence, guard, ...keyspace.of('k')];
  await admin.set(sequence, ahead);
  const reply = await admin.eval(redisScripts.acquire.source, keys.length, ...keys, ...terms);
  expect(reply).toEqual([expect.any(Number), 0, ['granted', ahead + 1]]);
  expect(await admin.get(sequence)).toBe(String(ahead + 1));
});

it('a grace is kept by those as well who have no guard, and the ttl of theirs is counted in', async () => {
  await open('on').withLock('warm', { ttl: 1_000 }, () => undefined);
  const stranger = open('off');
  const lock = await stranger.acquire('held', { ttl: 60_000 });
  expect(await longest()).toBe(60_000);
  await lock.release();
  const [run = '', previous = '', , most = '', until = ''] = (await admin.get(guard))!.split(' ');
  await admin.set(guard, [run, previous, Date.now() + 60_000, most, until].join(' '));
  await expect(stranger.tryAcquire('k')).rejects.toThrow(LockBackendError);
  expect(await admin.exists(keyspace.of('k')[0])).toBe(0);
});

it('a process without a guard warns, once, where others have one', async () => {
  const warnings: string[] = [];
  Logger.overrideLogger({
    log: () => undefined,
    warn: (said: string) => warnings.push(said),
    error: () => undefined,
  });
  try {
    const first = open('off');
    await first.withLock('first', () => undefined);
    await first.close();
    await open('on').withLock('k', () => undefined);
    expect(warnings).toEqual([]);
    const stranger = open('off');
    await stranger.withLock('k', () => undefined);
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await stranger.withLock('k', () => undefined);
    const ours = warnings.filter((said) => said.includes('failoverGrace'));
    expect(ours).toEqual([
      expect.stringMatching(
        /guard the namespace nestjs-lock by failoverGrace.*\{nestjs-lock:0\}:guard/,
      ),
    ]);
  } finally {
    Logger.overrideLogger(false);
  }
});

it('what is kept taken by minHold is counted in by the guard', async () => {
  const service = open('on');
  await service.withLock('job', { ttl: 1_000, minHold: 40_000 }, () => undefined);
  expect(await longest()).toBeGreaterThan(39_000);
});
