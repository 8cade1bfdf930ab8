import type { Redis } from 'ioredis';
import { LockBackendError, type LockService } from 'nestjs-lock';
import { setMaxListeners } from 'node:events';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { machineTime } from '../support/history.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';

/** What a busy machine may add, in milliseconds. */
const SLACK = 500;

/** How long `tryAcquire` lets a backend hang, in milliseconds. */
const ATTEMPT = 2_000;

describe('bounds', () => {
  const scene = new Scene();

  afterAll(() => scene.end(), 30_000);

  /** Every way to ask rejects with the right error, at the time that was asked for. */
  async function assertBounded(service: LockService, key: string): Promise<void> {
    const start = machineTime();
    const rejects = async (what: string, asked: Promise<unknown>, bound: number) => {
      const error = await asked.then(
        () => 'granted',
        (reason: unknown) => reason,
      );
      const took = machineTime() - start;
      expect({ what, error }).toEqual({ what, error: expect.any(LockBackendError) as unknown });
      expect(took).toBeGreaterThan(bound - 5);
      expect(took).toBeLessThan(bound + SLACK);
    };
    await Promise.all([
      rejects('the first caller', service.acquire(key, { wait: 500 }), 500),
      rejects('the second in line', service.acquire(key, { wait: 500 }), 500),
      rejects(
        'a body',
        service.withLock(key, { wait: 700 }, () => 'ran'),
        700,
      ),
      rejects('one attempt', service.tryAcquire(key), ATTEMPT),
      rejects('no wait', service.acquire(key, { wait: 0 }), ATTEMPT),
      rejects('another key', service.acquire(`${key} too`, { wait: 300 }), 300),
    ]);
  }

  it.concurrent('hold when nothing listens', async () => {
    const service = scene.service(`redis://127.0.0.1:${await freePort()}`);
    await assertBounded(service, 'nobody there');
    await assertBounded(service, 'still nobody there');
  });

  it.concurrent('hold when a server accepts and never answers', async () => {
    const server = await scene.redis();
    const proxy = await scene.proxy(server.port);
    proxy.drop('replies');
    const service = scene.service(proxy.url);
    await assertBounded(service, 'mute');
    await assertBounded(service, 'still mute');
  });

  it.concurrent(
    'hold when the server freezes, and all is well when it goes on',
    async () => {
      const server = await scene.redis();
      const service = scene.service(server.url);
      await service.withLock('warm up', () => undefined);
      server.freeze();
      await assertBounded(service, 'frozen');
      const late = scene.service(server.url);
      await assertBounded(late, 'frozen from the start');
      server.thaw();
      // What still reached the server was void or was taken back.
      const view = new RedisView(scene.client(server.url));
      for (const key of ['frozen', 'frozen too', 'frozen from the start']) {
        await view.untouched(key, 10_000);
        await service.withLock(key, () => undefined);
      }
    },
    20_000,
  );

  it.concurrent('hold when the server dies while callers wait', async () => {
    const server = await scene.redis();
    const view = new RedisView(scene.client(server.url));
    const [holder, service] = [scene.service(server.url), scene.service(server.url)];
    await holder.acquire('dies');
    const start = machineTime();
    const waiting = [1_500, 1_500].map((wait) =>
      service.acquire('dies', { wait }).catch((error: unknown) => error),
    );
    await view.queued('dies', 1);
    await server.kill();
    for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(LockBackendError);
    expect(machineTime() - start).toBeLessThan(1_500 + SLACK);
  });

  describe('1,000 callers that wait for 10 s in one process', () => {
    const WAITERS = 1_000;
    const SECONDS = 10;

    /** Commands that clients sent so far; what scripts call by themselves is not counted. */
    async function sent(redis: Redis): Promise<number> {
      const inner = /^(time|get|set|exists|type|del|pexpire|pttl|publish|z[a-z]+|info)$/;
      const stats = await redis.info('commandstats');
      let calls = 0;
      for (const [, command, count] of stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)) {
        if (!inner.test(command!)) calls += Number(count);
      }
      return calls;
    }

    it.concurrent.each([
      ['one key', 1],
      ['1,000 keys', 1_000],
    ])(
      'on %s cost at most 2 commands a second',
      async (_, keys) => {
        const server = await scene.redis();
        const redis = scene.client(server.url);
        const view = new RedisView(redis);
        const [holder, service] = [scene.service(server.url), scene.service(server.url)];
        const names = Array.from({ length: keys }, (_, index) => `waited for ${index}`);
        const held = await Promise.all(names.map((name) => holder.acquire(name)));
        const leaving = new AbortController();
        setMaxListeners(WAITERS, leaving.signal);
        const left = Array.from({ length: WAITERS }, (_, index) =>
          service
            .acquire(names[index % keys]!, { wait: Infinity, signal: leaving.signal })
            .catch((reason: unknown) => reason),
        );
        for (const name of names) await view.queued(name, 1);

        const before = await sent(redis);
        const start = machineTime();
        await eventually('10 s', () => machineTime() > start + 1_000 * SECONDS, 1_100 * SECONDS);
        const calls = (await sent(redis)) - before;
        expect(calls).toBeLessThanOrEqual(2 * SECONDS);
        // They do wait, and are kept alive.
        expect(calls).toBeGreaterThanOrEqual(SECONDS - 2);
        for (const name of names) expect(await view.waiters(name)).toBe(1);

        leaving.abort('enough');
        expect(new Set(await Promise.all(left))).toEqual(new Set(['enough']));
        await Promise.all(held.map((lock) => lock.release()));
      },
      30_000,
    );
  });
});
