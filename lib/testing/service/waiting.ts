import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockTimeoutError } from '../../errors/index.js';
import type { Chapter } from '../chapter.js';
import { BRIEF, eventually, inVain, LONG, rejection, SOON, soon, stopwatch } from '../patience.js';

export const waiting: Chapter = {
  title: 'waiting for a lock',
  tests: {
    'wait: 0 asks exactly once, whatever the default': async (world) => {
      const holder = world.service();
      const locks = world.service({ wait: LONG });
      await holder.acquire('k');
      world.requests.length = 0;

      const error = await rejection('a busy lock', locks.acquire('k', { wait: 0 }));
      assert.ok(error instanceof LockTimeoutError);
      assert.deepEqual([error.code, error.key, error.wait], ['LOCK_TIMEOUT', 'k', 0]);
      assert.deepEqual(
        world.requests.map(({ queue }) => queue),
        [false],
      );

      const free = await locks.acquire('free', { wait: 0 });
      assert.ok(free.held);
      assert.equal(world.requests.length, 2);
    },

    'tryAcquire asks exactly once, and answers null only when the lock is busy': async (world) => {
      const [holder, locks] = [world.service(), world.service()];
      const held = await holder.acquire('k');
      world.requests.length = 0;
      assert.equal(await soon('null', locks.tryAcquire('k')), null);
      assert.equal(world.requests.length, 1);
      assert.ok(held.held);

      await held.release();
      assert.ok((await locks.tryAcquire('k'))?.held);
    },

    'who waits in vain is told in time, and leaves the holder alone': async (world) => {
      const [holder, locks] = [world.service(), world.service()];
      const held = await holder.acquire('k');
      let [asked, elapsed] = [0, stopwatch()];
      const error = await inVain((wait) => {
        [asked, elapsed] = [wait, stopwatch()];
        return locks.acquire('k', { wait });
      });
      assert.ok(elapsed() >= asked - 2 && elapsed() < asked + SOON, `after ${elapsed()} ms`);
      assert.ok(error instanceof LockTimeoutError);
      assert.deepEqual([error.key, error.wait], ['k', asked]);

      held.assertHeld();
      // The caller does not wait for its withdrawal.
      await eventually('it has left', async () => (await holder.inspect('k')).waiters === 0);
      const [seen] = (await holder.inspect('k')).holders;
      assert.equal(seen?.fencingToken, held.fencingToken);
    },

    'who gave up is not granted later': async (world) => {
      const [holder, locks] = [world.service(), world.service()];
      const held = await holder.acquire('k');
      await rejection('a timeout', locks.acquire('k', { wait: BRIEF }));
      await eventually('it has left', async () => (await holder.inspect('k')).waiters === 0);
      await held.release();
      assert.deepEqual((await holder.inspect('k')).holders, []);
      assert.ok((await holder.tryAcquire('k'))?.held);
    },

    'who waits is granted at the release, and not when its patience ends': async (world) => {
      const [holder, locks] = [world.service(), world.service()];
      const held = await holder.acquire('k');
      const next = locks.acquire('k', { wait: Infinity });
      await eventually('the waiter', async () => (await holder.inspect('k')).waiters === 1);
      const elapsed = stopwatch();
      assert.equal(await held.release(), 'released');
      const lock = await soon('the hand-off', next);
      assert.ok(elapsed() < SOON);
      assert.ok(lock.held && lock.fencingToken > held.fencingToken);
      assert.ok(!held.held);
    },

    'who is ready to wait longer than the lease of a dead holder lives is served': async (
      world,
    ) => {
      const dead = world.process();
      const { grant } = await dead.take('k', world.short);
      const ttl = world.short;
      const lock = await world.service().acquire('k', { ttl, wait: ttl + SOON });
      // However long it waited, its own ttl begins with the grant.
      assert.ok(lock.remaining > 0 && lock.remaining < ttl, `${lock.remaining} ms remain`);
      assert.ok(grant.since.elapsed >= grant.ttl);
      assert.ok(lock.fencingToken > grant.token);
    },

    'a signal that is aborted already rejects with its reason, and nothing is asked': async (
      world,
    ) => {
      const reason = new Error('not today');
      const signal = AbortSignal.abort(reason);
      const error = await rejection('an abort', world.service().acquire('k', { signal }));
      assert.equal(error, reason);
      assert.deepEqual(world.requests, []);
    },

    'a signal ends the waiting at once, with its reason': async (world) => {
      const [holder, locks] = [world.service(), world.service()];
      const held = await holder.acquire('k');
      const waiter = new AbortController();
      const refused = rejection(
        'an abort',
        locks.acquire('k', { wait: LONG, signal: waiter.signal }),
      );
      await eventually('the waiter', async () => (await holder.inspect('k')).waiters === 1);

      const elapsed = stopwatch();
      const reason = new Error('never mind');
      waiter.abort(reason);
      assert.equal(await refused, reason);
      assert.ok(elapsed() < 250, `after ${elapsed()} ms`);

      await held.release();
      await eventually('the lock is free', async () => {
        const { holders, waiters } = await holder.inspect('k');
        return holders.length === 0 && waiters === 0;
      });
    },

    'a signal that aborts after the grant ends nothing': async (world) => {
      const waiter = new AbortController();
      const lock = await world.service().acquire('k', { signal: waiter.signal });
      waiter.abort();
      await sleep(20);
      assert.ok(lock.held && !lock.signal.aborted);
    },

    'the callers of one service are served in the order of their calls': async (world) => {
      const locks = world.service();
      const held = await locks.acquire('k');
      const served: number[] = [];
      const turns = [1, 2, 3, 4, 5].map((n) =>
        locks.withLock('k', { wait: LONG }, () => served.push(n)),
      );
      await held.release();
      await soon('five turns', Promise.all(turns));
      assert.deepEqual(served, [1, 2, 3, 4, 5]);
    },

    'callers that give up do not hold up those behind them': async (world) => {
      const locks = world.service();
      const held = await locks.acquire('k');
      const leaving = new AbortController();
      const first = rejection('an abort', locks.acquire('k', { signal: leaving.signal }));
      const second = inVain((wait) => locks.acquire('k', { wait }));
      const third = locks.acquire('k', { wait: LONG });
      const fourth = rejection('an abort', locks.acquire('k', { signal: leaving.signal }));
      assert.ok((await second) instanceof LockTimeoutError);
      leaving.abort();
      await Promise.all([first, fourth]);
      await held.release();
      assert.ok((await soon('the third', third)).held);
    },

    'an abort that races the hand-off is never both refused and leaked': async (world) => {
      const [holder, locks, last] = [world.service(), world.service(), world.service()];
      for (let round = 0; round < 50; round++) {
        const held = await holder.acquire('k', { wait: LONG });
        const leaving = new AbortController();
        const racer = locks.acquire('k', { wait: LONG, signal: leaving.signal }).then(
          (lock) => lock.release(),
          () => undefined,
        );
        const next = last.acquire('k', { wait: LONG });
        await eventually('both wait', async () => (await holder.inspect('k')).waiters === 2);
        const releasing = held.release();
        if (round % 2 === 0) await sleep(0);
        leaving.abort();
        const lock = await soon('the one behind', next);
        await Promise.all([lock.release(), releasing, racer]);
      }
      assert.deepEqual((await holder.inspect('k')).holders, []);
    },
  },
};
