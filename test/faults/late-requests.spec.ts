import type { Redis } from 'ioredis';
import { LockBackendError, type LockModuleOptions } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { redisScripts } from '../../lib/backends/redis/redis-scripts.js';
import { Courier } from '../support/courier.js';
import { eventually } from '../support/eventually.js';
import { machineTime } from '../support/history.js';
import { pending } from '../support/scripted-backend.js';
import type { RedisServer } from '../support/redis-server.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';

const MINUTE = 60_000;

/** How long a request that was not answered may still run, in milliseconds. */
const PATIENCE = 2_000;

/** Long enough for whoever would ask again, in milliseconds. */
const ANOTHER_TRY = 500;

describe('what arrives late', () => {
  const scene = new Scene();
  let server: RedisServer;
  let redis: Redis;
  let view: RedisView;

  beforeAll(async () => {
    server = await scene.redis();
    redis = scene.client(server.url);
    view = new RedisView(redis);
    // A request that a test sends again itself must find its script.
    for (const { source } of Object.values(redisScripts)) await redis.script('LOAD', source);
  });

  afterAll(() => scene.end());

  const direct = () => scene.service(server.url);

  /** A service whose requests and messages are in the test's hands. */
  async function remote({
    ready = true,
    ...options
  }: LockModuleOptions & { ready?: boolean } = {}) {
    const courier = new Courier(server.url);
    courier.tellsTime = ready;
    const backend = new RedisBackend({ client: courier });
    const service = scene.service(server.url, { backend, ...options });
    // Both connections stand, and the server's clock is known.
    if (ready) await service.withLock('warm up', () => undefined);
    return { courier, service };
  }

  const left = (key: string) => redis.pttl(view.keyspace.of(key)[0]);

  const passed = async (ms: number) => {
    const end = machineTime() + ms;
    await eventually(`${ms} ms`, () => machineTime() > end);
  };

  it.concurrent('is no grant any more: a reply, when the lock was broken since', async () => {
    const key = 'broken';
    const { courier, service } = await remote();
    const arrived = pending<undefined>();
    const told = pending<undefined>();
    courier.on('acquire', async ({ send }) => {
      courier.on('acquire', (again) => again.send());
      const reply = await send();
      arrived.resolve(undefined);
      await told.promise;
      return reply;
    });
    courier.deliver = (arrive) => {
      arrive();
      told.resolve(undefined);
    };
    const acquiring = service.acquire(key);
    await arrived.promise;
    const first = (await view.token(key))!;
    expect(await direct().forceRelease(key)).toBe(1);
    const lock = await acquiring;
    expect(lock.fencingToken).toBeGreaterThan(first);
    expect(await view.token(key)).toBe(lock.fencingToken);
    await lock.release();
  });

  it.concurrent('leaves nothing of a lock that was broken: a copy of its request', async () => {
    const key = 'broken copy';
    const { courier, service } = await remote();
    const stray = courier.stray('acquire');
    const granted = service.acquire(key);
    const late = await stray;
    const lock = await granted;
    expect(await direct().forceRelease(key)).toBe(1);
    await eventually('it was told', () => !lock.held);
    await late();
    expect(await view.token(key)).toBeGreaterThan(lock.fencingToken);
    await view.untouched(key);
  });

  describe('takes no life from a lease', () => {
    it.concurrent('that was renewed for longer: a copy of its request', async () => {
      const key = 'late acquire';
      const { courier, service } = await remote({ ttl: 1_000 });
      const stray = courier.stray('acquire');
      const granted = service.acquire(key);
      const late = await stray;
      const lock = await granted;
      await lock.renew(MINUTE);

      expect(await late()).toEqual([expect.any(Number), 0, ['granted', lock.fencingToken]]);
      expect(await left(key)).toBeGreaterThan(lock.remaining);
      expect(lock.remaining).toBeGreaterThan(MINUTE / 2);
      await lock.release();
    });

    it.concurrent('that was renewed for longer: an earlier renewal', async () => {
      const key = 'late renewal';
      const { courier, service } = await remote({ ttl: 1_000, renew: false });
      const lock = await service.acquire(key);
      const stray = courier.stray('renew');
      const failed = lock.renew().catch((error: unknown) => error);
      const late = await stray;
      expect(await failed).toBeInstanceOf(LockBackendError);
      await lock.renew(MINUTE);

      expect(await late()).toEqual([expect.any(Number), 1]);
      expect(await left(key)).toBeGreaterThan(lock.remaining);
      expect(lock.remaining).toBeGreaterThan(MINUTE / 2);
      await lock.release();
    });

    it.concurrent('whichever of three renewals runs last', async () => {
      const { courier, service } = await remote();
      for (const order of [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
      ]) {
        const key = `renewals ${order.join()}`;
        const lock = await service.acquire(key);
        const doors: (() => void)[] = [];
        courier.on('renew', async ({ send }) => {
          const door = pending<undefined>();
          doors.push(() => door.resolve(undefined));
          await door.promise;
          return send();
        });
        const renewals: Promise<void>[] = [];
        for (const ttl of [MINUTE, 1_000, MINUTE]) {
          renewals.push(lock.renew(ttl));
          await eventually('sent', () => doors.length === renewals.length);
        }
        for (const index of order) {
          doors[index]!();
          await renewals[index];
          // It never believes in more than there is.
          expect(await left(key)).toBeGreaterThan(lock.remaining);
        }
        expect(lock.remaining).toBeGreaterThan(MINUTE / 2);
        await lock.release();
      }
    });
  });

  it.concurrent('nothing is asked before the clock of the server is known', async () => {
    const { courier, service } = await remote({ ready: false });
    await expect(service.acquire('no clock', { wait: 300 })).rejects.toMatchObject({
      code: 'LOCK_BACKEND',
    });
    expect(courier.count('acquire')).toBe(0);
    courier.tellsTime = true;
    const lock = await service.acquire('no clock');
    expect(await lock.release()).toBe('released');
  });

  describe("leaves no lock that is nobody's", () => {
    it.concurrent('a waiter that lost its place and was granted as it asked again', async () => {
      const key = 'asked again';
      const { courier, service } = await remote();
      const first = await direct().acquire(key);
      const done = service.withLock(key, () => 'done');
      await view.queued(key, 1);
      const before = courier.count('acquire');
      const [, queue, deadlines] = view.keyspace.of(key);
      courier.on('acquire', async ({ send }) => {
        await send();
        await done;
        return courier.lose();
      });
      await redis.del(queue, deadlines);
      await view.queued(key, 1);
      await first.release();

      expect(await done).toBe('done');
      await passed(ANOTHER_TRY);
      expect(courier.count('acquire')).toBe(before + 1);
      expect(await view.token(key)).toBeUndefined();
    });

    it.concurrent('a grant that overtook its reply', async () => {
      const key = 'overtaken';
      const { courier, service } = await remote();
      // It has seen that it is heard where it asks; else it would believe in no message.
      const before = await direct().acquire('proof');
      const proof = service.acquire('proof');
      await eventually('a beat', () => courier.count('heartbeat') > 0);
      await before.release();
      await (await proof).release();
      const first = await direct().acquire(key);
      let arrived = false;
      courier.on('acquire', async ({ send }) => {
        if (!arrived) await send();
        arrived = true;
        return courier.lose();
      });
      const granted = service.acquire(key, { wait: 2_000 });
      await view.queued(key, 1);
      await first.release();
      const lock = await granted;
      await lock.renew();

      const tries = courier.count('acquire');
      await passed(ANOTHER_TRY);
      expect(courier.count('acquire')).toBe(tries);
      expect(await lock.release()).toBe('released');
      await passed(ANOTHER_TRY);
      expect(courier.count('acquire')).toBe(tries);
      expect(await view.token(key)).toBeUndefined();
    });

    it.concurrent('a first try that runs after all is over', async () => {
      const key = 'late try';
      const { courier, service } = await remote();
      const first = await direct().acquire(key);
      const stray = courier.stray('acquire');
      const done = service.withLock(key, () => 'done');
      const late = await stray;
      await view.queued(key, 1);
      await first.release();

      expect(await done).toBe('done');
      expect(await late()).toEqual([expect.any(Number), 0, expect.any(Number)]);
      await view.untouched(key);
    });

    it.concurrent('a first try that runs just before it is void', async () => {
      const key = 'very late try';
      const { courier, service } = await remote();
      // The server's clock is known only roughly: this request was on its way for long.
      const way = 600;
      courier.on('acquire', async ({ send }) => {
        await passed(way);
        return send();
      });
      await service.withLock('slow', () => undefined);
      const first = await direct().acquire(key);
      const stray = courier.stray('acquire');
      const done = service.withLock(key, () => 'done');
      const late = await stray;
      const sent = machineTime();
      await view.queued(key, 1);
      await first.release();

      expect(await done).toBe('done');
      await passed(sent + PATIENCE + way / 2 - machineTime());
      await late();
      await view.untouched(key);
    });
  });
});
