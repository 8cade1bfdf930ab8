import assert from 'node:assert/strict';
import { LockLostError, type LockLostReason } from '../../errors/index.js';
import type { Lock } from '../../interfaces/index.js';
import type { Chapter } from '../chapter.js';
import { block, eventually, LONG, rejection, SOON, soon, stopwatch } from '../patience.js';
import type { World } from '../world.js';

export const losing: Chapter = {
  title: 'losing a lock',
  tests: {
    'without renewal it is lost when its ttl is over, before another is granted': async (world) => {
      const ttl = world.short;
      const elapsed = stopwatch();
      const lock = await world.service().acquire('k', { ttl, renew: false });
      const next = await world.service().acquire('k', { wait: ttl + SOON });
      assertLost(lock, 'expired');
      assert.ok(elapsed() >= ttl - 2, `granted to another after ${elapsed()} ms`);
      assert.ok(next.held && next.fencingToken > lock.fencingToken);
    },

    'the signal says so by itself': async (world) => {
      const lock = await world.service().acquire('k', { ttl: world.short, renew: false });
      const { signal } = lock;
      await soon(
        'the abort',
        new Promise((resolve) => {
          signal.addEventListener('abort', resolve);
        }),
        world.short + SOON,
      );
      assertLost(lock, 'expired');
    },

    'after maxHold it is lost, and its body may still end before another is granted': async (
      world,
    ) => {
      const ttl = world.short;
      const maxHold = ttl / 2;
      const elapsed = stopwatch();
      const lock = await world.service().acquire('k', { ttl, maxHold });
      assert.ok(lock.remaining <= maxHold);
      const next = world.service().acquire('k', { wait: 2 * ttl + SOON });
      await eventually('the abort', () => lock.signal.aborted, maxHold + SOON);
      // Wall clocks count whole milliseconds.
      assert.ok(elapsed() >= maxHold - 2);
      assertLost(lock, 'maxHold');
      assert.ok((await next).held);
      assert.ok(elapsed() >= ttl - 2, `granted to another after ${elapsed()} ms`);
    },

    'after a blocked event loop the first look tells the truth': async (world) => {
      const ttl = world.short;
      const lock = await world.service({ ttl }).acquire('k');
      const { signal } = lock;
      block(ttl + 50);
      // Nothing is awaited: no timer had a chance to look at the clock.
      assert.equal(lock.held, false);
      assert.equal(lock.remaining, 0);
      assert.ok(signal.aborted);
      assertLost(lock, 'expired');
    },

    'each way of looking tells it': async (world) => {
      const ttl = world.short;
      const locks = world.service({ ttl });
      const looks: Record<string, (lock: Lock) => boolean> = {
        remaining: (lock) => lock.remaining === 0,
        signal: (lock) => lock.signal.aborted,
        assertHeld: (lock) => {
          assert.throws(() => lock.assertHeld());
          return true;
        },
      };
      const held = await Promise.all(
        Object.keys(looks).map(async (way) => [way, await locks.acquire(way)] as const),
      );
      block(ttl + 50);
      for (const [way, lock] of held) assert.ok(looks[way]?.(lock), way);
    },

    'a renewal that was held up does not bring it back': async (world) => {
      const ttl = world.short;
      const [locks, other] = [world.service({ ttl }), world.service()];
      const lock = await locks.acquire('k');
      block(ttl + 50);
      const next = await other.acquire('k', { wait: ttl + SOON });
      assertLost(lock, 'expired');
      assert.ok(next.held);
      assert.equal(await lock.release(), 'expired');
      assert.ok(next.held);
      assert.equal((await other.inspect('k')).holders[0]?.fencingToken, next.fencingToken);
    },

    'who is not the owner any more hears of it at the next renewal': async (world) => {
      const lock = await world.service({ ttl: world.short }).acquire('k');
      await steal(world);
      await eventually('the abort', () => lock.signal.aborted, world.short + SOON);
      assertLost(lock, 'stolen');
      assert.equal(await lock.release(), 'stolen');
    },

    'renew() of a lost lock is refused, and touches nobody': async (world) => {
      const lock = await world.service({ ttl: LONG }).acquire('k');
      await steal(world);
      const next = await world.service().acquire('k');
      const error = await rejection('renew()', lock.renew());
      assert.ok(error instanceof LockLostError);
      assert.equal(error.reason, 'stolen');
      assertLost(lock, 'stolen');
      assert.ok(next.held);
    },

    'a body that runs on hears of it when it has settled': async (world) => {
      const locks = world.service({ ttl: LONG });
      const settled: string[] = [];
      const error = await rejection(
        'a lost lock',
        locks.withLock('k', async (lock) => {
          await steal(world);
          await lock.renew().catch(() => undefined);
          await Promise.resolve();
          settled.push('body');
          return 'result';
        }),
      );
      assert.ok(error instanceof LockLostError);
      assert.deepEqual([error.code, error.key, error.reason], ['LOCK_LOST', 'k', 'stolen']);
      assert.deepEqual(settled, ['body']);
    },

    'that the lock is gone is noticed at the release at the latest': async (world) => {
      const locks = world.service({ ttl: LONG });
      const error = await rejection(
        'a lost lock',
        locks.withLock('k', () => steal(world)),
      );
      assert.ok(error instanceof LockLostError);
      assert.equal(error.reason, 'stolen');
    },

    'an error of the body wins over the loss': async (world) => {
      const own = new Error('of the body');
      const error = await rejection(
        'the error',
        world.service({ ttl: LONG }).withLock('k', async () => {
          await steal(world);
          throw own;
        }),
      );
      assert.equal(error, own);
    },
  },
};

function assertLost(lock: Lock, reason: LockLostReason): void {
  assert.deepEqual([lock.held, lock.remaining, lock.signal.aborted], [false, 0, true]);
  const why: unknown = lock.signal.reason;
  assert.ok(why instanceof LockLostError);
  assert.deepEqual([why.code, why.key, why.reason], ['LOCK_LOST', lock.key, reason]);
  assert.throws(
    () => lock.assertHeld(),
    (error) => error === why,
  );
}

/** Ends the lease that was asked for last, behind its holder's back. */
async function steal(world: World): Promise<void> {
  const request = world.requests.at(-1);
  assert.ok(request);
  assert.equal(await world.process().release({ request }), true);
}
