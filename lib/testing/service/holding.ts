import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockConfigurationError, LockLostError } from '../../errors/index.js';
import type { Chapter } from '../chapter.js';
import { LONG, rejection, stopwatch } from '../patience.js';

export const holding: Chapter = {
  title: 'holding a lock',
  tests: {
    'the handle tells what is held': async (world) => {
      const lock = await world.service().acquire('k', { ttl: LONG });
      assert.deepEqual([lock.key, lock.mode, lock.held], ['k', 'exclusive', true]);
      assert.ok(Number.isSafeInteger(lock.fencingToken) && lock.fencingToken > 0);
      assert.ok(lock.remaining > LONG / 2 && lock.remaining < LONG);
      assert.ok(!lock.signal.aborted);
      lock.assertHeld();
    },

    'renew() gives it a whole ttl again, and never takes any away': async (world) => {
      const lock = await world.service().acquire('k', { ttl: LONG });
      const token = lock.fencingToken;
      const { remaining } = lock;
      await sleep(20);
      const asked = performance.now();
      await lock.renew();
      const renewed = lock.remaining;
      // Its new life begins when it was asked for, however long the answer took.
      assert.ok(renewed > remaining - 10 - (performance.now() - asked) && renewed < LONG);
      await lock.renew(2 * LONG);
      assert.ok(lock.remaining > LONG);
      await lock.renew('1s');
      assert.ok(lock.remaining > LONG);
      assert.equal(lock.fencingToken, token);
      assert.ok(lock.held && !lock.signal.aborted);
    },

    'renew() refuses a ttl that cannot be kept, and keeps the lock': async (world) => {
      const lock = await world.service().acquire('k');
      for (const ttl of [0, -1, NaN, Infinity, 2 ** 31, world.backend.minTtl / 2, 'soon']) {
        const error = await rejection(`renew(${ttl})`, lock.renew(ttl));
        assert.ok(error instanceof LockConfigurationError);
      }
      lock.assertHeld();
    },

    'renew() of a lock that was given back is refused': async (world) => {
      const lock = await world.service().acquire('k');
      await lock.release();
      const error = await rejection('renew()', lock.renew());
      assert.ok(error instanceof LockLostError);
      assert.equal(error.reason, 'released');
      assert.deepEqual((await world.service().inspect('k')).holders, []);
    },
  },

  hurried: {
    'a lock is kept through five ttl, and nobody else gets in': async (world) => {
      const ttl = world.short;
      const [holder, other] = [world.service({ ttl }), world.service()];
      const lock = await holder.acquire('k');
      const token = lock.fencingToken;
      for (const elapsed = stopwatch(); elapsed() < 5 * ttl;) {
        await sleep(ttl / 4);
        assert.ok(lock.remaining > 0 && lock.remaining < ttl, `${lock.remaining} ms remain`);
        assert.equal(await other.tryAcquire('k'), null);
      }
      assert.ok(lock.held && !lock.signal.aborted);
      assert.equal(lock.fencingToken, token);
      assert.equal(await lock.release(), 'released');
    },

    'a lock that was handed over is kept like any other': async (world) => {
      const ttl = world.short;
      const [holder, locks, other] = [world.service(), world.service(), world.service()];
      const held = await holder.acquire('k');
      const next = locks.acquire('k', { ttl, wait: LONG });
      await held.release();
      const lock = await next;
      await sleep(2 * ttl);
      assert.ok(lock.held && !lock.signal.aborted);
      assert.equal(await other.tryAcquire('k'), null);
    },

    'renew() prolongs a lock that does not renew itself': async (world) => {
      const ttl = world.short;
      const lock = await world.service().acquire('k', { ttl, renew: false });
      await sleep(ttl / 2);
      await lock.renew(LONG);
      await sleep(ttl);
      assert.ok(lock.held && lock.remaining > LONG / 2);
    },
  },
};
