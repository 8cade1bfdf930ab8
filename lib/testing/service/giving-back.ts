import assert from 'node:assert/strict';
import { LockLostError } from '../../errors/index.js';
import type { Chapter } from '../chapter.js';
import { eventually, SOON } from '../patience.js';

export const givingBack: Chapter = {
  title: 'giving a lock back',
  tests: {
    'release() says that it was released, however often it is called': async (world) => {
      const [locks, other] = [world.service(), world.service()];
      const lock = await locks.acquire('k');
      const outcomes = await Promise.all([lock.release(), lock.release()]);
      outcomes.push(await lock.release());
      assert.deepEqual(outcomes, ['released', 'released', 'released']);
      assert.ok((await other.tryAcquire('k'))?.held);
      assert.equal(await lock.release(), 'released');
      assert.equal(await locks.tryAcquire('k'), null);
    },

    'from the call on it is not held any more, which is no loss': async (world) => {
      const lock = await world.service().acquire('k');
      const { signal } = lock;
      const releasing = lock.release();
      assert.deepEqual([lock.held, lock.remaining], [false, 0]);
      assert.throws(
        () => lock.assertHeld(),
        (error) => error instanceof LockLostError && error.reason === 'released',
      );
      await releasing;
      assert.ok(!signal.aborted);
    },

    'a release beside a renewal is a release, and no loss': async (world) => {
      const locks = world.service();
      for (let round = 0; round < 20; round++) {
        const lock = await locks.acquire('k');
        const { signal } = lock;
        const renewal = lock.renew().catch((error: unknown) => error);
        assert.equal(await lock.release(), 'released');
        const outcome = await renewal;
        assert.ok(outcome === undefined || outcome instanceof LockLostError, String(outcome));
        assert.ok(!signal.aborted);
      }
      assert.deepEqual((await locks.inspect('k')).holders, []);
    },

    'a release after the end says why it had ended, and touches nobody': async (world) => {
      const ttl = world.short;
      const [locks, other] = [world.service(), world.service()];
      const lock = await locks.acquire('k', { ttl, renew: false });
      const next = await other.acquire('k', { wait: ttl + SOON });
      assert.equal(await lock.release(), 'expired');
      assert.equal(await lock.release(), 'expired');
      const { holders } = await locks.inspect('k');
      assert.equal(holders[0]?.fencingToken, next.fencingToken);
      await next.renew();
    },

    'a lost lock that is given back is free before its ttl is over': async (world) => {
      const [locks, other] = [world.service(), world.service()];
      const lock = await locks.acquire('k', { maxHold: 50 });
      await eventually('the end of maxHold', () => !lock.held);
      assert.equal(await lock.release(), 'maxHold');
      await eventually('the lock is free', async () => (await other.tryAcquire('k')) !== null);
    },

    'a lock gives itself back at the end of its scope': async (world) => {
      const locks = world.service();
      const lock = await locks.acquire('k');
      await lock[Symbol.asyncDispose]();
      assert.ok(!lock.held);
      assert.deepEqual((await locks.inspect('k')).holders, []);
    },
  },
};
