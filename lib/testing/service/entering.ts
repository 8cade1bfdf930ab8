import assert from 'node:assert/strict';
import { LockReentrancyError } from '../../errors/index.js';
import type { Chapter } from '../chapter.js';
import { LONG, rejection, soon, stopwatch } from '../patience.js';

export const entering: Chapter = {
  title: 'running under a lock',
  tests: {
    'withLock answers with what the body resolves to, and gives the lock back': async (world) => {
      const locks = world.service();
      const result = await locks.withLock('k', async (lock) => {
        lock.assertHeld();
        return Promise.resolve('result');
      });
      assert.equal(result, 'result');
      assert.deepEqual((await locks.inspect('k')).holders, []);
    },

    'an error of the body comes through as it is, and the lock is given back': async (world) => {
      const locks = world.service();
      const own = new Error('of the body');
      const rejected = await rejection(
        'the error',
        locks.withLock('k', () => Promise.reject(own)),
      );
      const thrown = await rejection(
        'the error',
        locks.withLock('k', () => {
          throw own;
        }),
      );
      assert.deepEqual([rejected === own, thrown === own], [true, true]);
      assert.deepEqual((await locks.inspect('k')).holders, []);
    },

    'who runs under a lock and asks for it again is refused at once': async (world) => {
      const locks = world.service({ wait: LONG });
      await locks.withLock('k', async (lock) => {
        for (const again of [
          () => locks.acquire('k'),
          () => locks.tryAcquire('k'),
          () => locks.withLock('k', () => undefined),
        ]) {
          const elapsed = stopwatch();
          const error = await rejection('the second entry', again());
          assert.ok(elapsed() < 250, `after ${elapsed()} ms`);
          assert.ok(error instanceof LockReentrancyError);
          assert.deepEqual([error.code, error.key], ['LOCK_REENTRANCY', 'k']);
        }
        lock.assertHeld();
      });
      assert.ok((await locks.tryAcquire('k'))?.held);
    },

    'reentrant: true enters again, with the same token, until the outermost leaves': async (
      world,
    ) => {
      const [locks, other] = [world.service({ reentrant: true }), world.service()];
      const tokens: number[] = [];
      await locks.withLock('k', async (outer) => {
        await locks.withLock('k', async (inner) => {
          tokens.push(outer.fencingToken, inner.fencingToken);
          const innermost = await locks.acquire('k');
          tokens.push(innermost.fencingToken);
          assert.equal(await innermost.release(), 'released');
          assert.deepEqual([innermost.held, inner.held, outer.held], [false, true, true]);
        });
        outer.assertHeld();
        assert.equal(await other.tryAcquire('k'), null);
      });
      assert.equal(new Set(tokens).size, 1);
      assert.equal(world.requests.length, 2);
      assert.ok((await other.tryAcquire('k'))?.held);
    },

    'calls beside each other are not inside of each other': async (world) => {
      const locks = world.service({ reentrant: true });
      let [inside, most] = [0, 0];
      const body = async () => {
        most = Math.max(most, ++inside);
        await new Promise(setImmediate);
        inside--;
      };
      await locks.withLock('outer', () =>
        Promise.all([locks.withLock('k', body), locks.withLock('k', body)]),
      );
      assert.equal(most, 1);
    },

    'current() is the innermost lock, or that of a key': async (world) => {
      const [locks, other] = [world.service(), world.service()];
      assert.equal(locks.current(), undefined);
      await locks.withLock('outer', async (outer) => {
        await locks.withLock('inner', async (inner) => {
          await new Promise(setImmediate);
          assert.equal(locks.current(), inner);
          assert.equal(locks.current('outer'), outer);
          assert.equal(locks.current('inner'), inner);
          assert.equal(locks.current('another'), undefined);
          assert.equal(other.current(), undefined);
        });
        assert.equal(locks.current(), outer);
        assert.equal(locks.current('inner'), undefined);
      });
      assert.equal(locks.current(), undefined);
    },

    'a task that outlives the body runs under no lock': async (world) => {
      const locks = world.service();
      let end!: () => void;
      const over = new Promise<void>((resolve) => {
        end = resolve;
      });
      let straggler!: Promise<number>;
      await locks.withLock('k', (lock) => {
        straggler = over.then(async () => {
          assert.equal(locks.current(), undefined);
          const again = await locks.acquire('k');
          return again.fencingToken - lock.fencingToken;
        });
      });
      end();
      assert.ok((await soon('the straggler', straggler)) > 0);
    },
  },
};
