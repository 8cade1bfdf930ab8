import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Lock, LockService } from 'nestjs-lock';
import { redisScripts } from '../../lib/backends/redis/redis-scripts.js';
import { deadWaiter } from '../support/dead-waiter.js';
import { eventually } from '../support/eventually.js';
import { entered, machineTime, violations, visit } from '../support/history.js';
import type { RedisServer } from '../support/redis-server.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';

const DEAD = 1_000;

/** So many processes that died are more than one script call may try to tell of a grant. */
const MULTITUDE = 10_000;

/** So many commands a script may send in one call: some milliseconds, in which the server serves nobody else. */
const MOST_COMMANDS = 2_500;

describe('a queue full of dead waiters', () => {
  const scene = new Scene();
  let server: RedisServer;
  let redis: Redis;
  let view: RedisView;
  let monitor: Redis;
  /** How many commands the longest script call sent since the last {@link bury}. */
  let longest = 0;

  beforeAll(async () => {
    server = await scene.redis();
    redis = scene.client(server.url);
    view = new RedisView(redis);
    await redis.script('LOAD', redisScripts.acquire.source);
    monitor = await redis.monitor();
    let commands = 0;
    monitor.on('monitor', (_at: string, _command: string[], source: string) => {
      commands = source === 'lua' ? commands + 1 : 0;
      longest = Math.max(longest, commands);
    });
  });

  afterAll(async () => {
    monitor.disconnect();
    await scene.end();
  });

  /** Waits until the monitor has told of all that the server has done. */
  async function monitored(): Promise<void> {
    const mark = randomUUID();
    const seen = new Promise<void>((resolve) => {
      const look = (_at: string, [, text]: string[]) => {
        if (text !== mark) return;
        monitor.off('monitor', look);
        resolve();
      };
      monitor.on('monitor', look);
    });
    await redis.echo(mark);
    await seen;
  }

  /** As if so many processes had queued and died: nobody listens for them, nobody refreshes them. */
  async function bury(key: string, count = DEAD): Promise<void> {
    const pipeline = redis.pipeline();
    for (let dead = 0; dead < count; dead++) {
      pipeline.evalsha(
        redisScripts.acquire.sha,
        ...deadWaiter(view.keyspace, key, `dead-${dead}:1`),
      );
    }
    await pipeline.exec();
    expect(await view.waiters(key)).toBe(count);
    await monitored();
    longest = 0;
  }

  /** No script call was long: the server serves nobody else meanwhile. */
  async function expectShortCalls(): Promise<void> {
    await monitored();
    expect(longest).toBeGreaterThan(1);
    expect(longest).toBeLessThan(MOST_COMMANDS);
  }

  it('does not hold up who comes after them, when the lock is released', async () => {
    const key = 'released';
    const [holder, next] = [scene.service(server.url), scene.service(server.url)];
    const first = await entered(holder.acquire(key));
    await bury(key);
    const granted = entered(next.acquire(key));
    await view.queued(key, DEAD + 1);
    const left = machineTime();
    await first.lock.release();
    const second = await granted;

    expect(await second.lock.release()).toBe('released');
    expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
    await expectShortCalls();
  });

  it('nor when the lease ends by itself', async () => {
    const key = 'expired';
    const [holder, next] = [scene.service(server.url), scene.service(server.url)];
    const first = await entered(holder.acquire(key, { ttl: 1_000, renew: false }));
    await bury(key);
    const granted = entered(next.acquire(key));
    await view.queued(key, DEAD + 1);
    const expiry = await view.expiry(key);
    const second = await granted;

    expect(second.at).toBeGreaterThanOrEqual(expiry);
    expect(await second.lock.release()).toBe('released');
    expect(await first.lock.release()).toBe('expired');
    expect(violations([visit(key, first, expiry), visit(key, second)])).toEqual([]);
    await expectShortCalls();
  });

  it('nor when the lock is free and somebody comes', async () => {
    const key = 'free';
    const [holder, next] = [scene.service(server.url), scene.service(server.url)];
    await holder.acquire(key);
    await bury(key);
    await redis.del(view.keyspace.of(key)[0]);
    const second = await entered(next.acquire(key));

    expect(await second.lock.release()).toBe('released');
    await expectShortCalls();
  });

  it.each<[string, number, (key: string, lock: Lock, holder: LockService) => Promise<unknown>]>([
    ['its lease ends by itself', MULTITUDE, (key) => redis.del(view.keyspace.of(key)[0])],
    ['it is released', MULTITUDE, (_, lock) => lock.release()],
    [
      'it is released when they count as dead',
      DEAD,
      async (key, lock, holder) => {
        const alive = async () => (await holder.inspect(key)).waiters;
        await eventually('one is alive', async () => (await alive()) === 1);
        await lock.release();
      },
    ],
  ])('nor is a lock too much for a script call: %s, %i wait', async (key, count, end) => {
    const [holder, next] = [scene.service(server.url), scene.service(server.url)];
    const lock = await holder.acquire(key);
    await bury(key, count);
    const granted = next.acquire(key, { wait: 30_000 });
    await view.queued(key, count + 1);
    await end(key, lock, holder);
    const second = await entered(granted);

    expect(await second.lock.release()).toBe('released');
    await expectShortCalls();
  });

  it('leaves nothing behind', async () => {
    await view.idle();
    expect(await redis.keys('*')).toEqual([view.keyspace.sequence]);
  });
});
