import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { LockLostError } from '../../errors/index.js';
import type { LockState } from '../../interfaces/index.js';
import type { Chapter } from '../chapter.js';
import { aborted, eventually, LONG, SOON, soon } from '../patience.js';

export const operating: Chapter = {
  title: 'what operators see and do',
  tests: {
    'a key shows whose it is: host, pid and label, of holders and waiters': async (world) => {
      const locks = world.service({ label: 'billing 2: "é"' });
      const other = world.service();
      const lock = await locks.acquire('k');
      const waiting = other.acquire('k', { wait: LONG });
      waiting.catch(() => undefined);
      await eventually('the waiter', async () => (await locks.inspect('k')).waiters === 1);
      const { holders, queue } = await other.inspect('k');
      const here = { host: hostname(), pid: process.pid, traceparent: undefined };
      assert.deepEqual(
        holders.map(({ owner, fencingToken }) => [owner, fencingToken]),
        [[{ ...here, label: 'billing 2: "é"', isSelf: false }, lock.fencingToken]],
      );
      assert.deepEqual(
        queue.map(({ owner, place }) => [owner, place]),
        [[{ ...here, label: undefined, isSelf: true }, 0]],
      );
      for (const { since } of [...holders, ...queue]) {
        assert.ok(Math.abs(Date.now() - since.getTime()) < 2 * SOON, String(since));
      }
      await lock.release();
      await (await waiting).release();
    },

    'held keys are listed with who holds them': async (world) => {
      const [locks, other] = [world.service(), world.service()];
      await locks.acquire('order:1');
      const second = await locks.acquire('order:2');
      await locks.acquire('stock:1');
      const states: LockState[] = [];
      for await (const state of other.list('order:*')) states.push(state);
      assert.deepEqual(states.map(({ key }) => key).sort(), ['order:1', 'order:2']);
      const listed = states.find(({ key }) => key === 'order:2');
      assert.equal(listed?.holders[0]?.fencingToken, second.fencingToken);
    },

    'a lock that is asked for stays held: its holder hears of it, and then has its grace': async (
      world,
    ) => {
      const [locks, operator] = [world.service(), world.service()];
      const lock = await locks.acquire('k');
      const [{ revocation, signal }] = [lock];
      assert.equal(await operator.revoke('k', { reason: 'upgrade', grace: 300 }), 1);
      await soon('the message', aborted(revocation));
      assert.ok(revocation.reason instanceof LockLostError);
      assert.equal(revocation.reason.reason, 'revoked');
      assert.equal((revocation.reason.cause as Error).message, 'upgrade');
      await soon('the end of the grace', aborted(signal));
      assert.equal(signal.reason, revocation.reason);
      assert.ok(lock.held);
      assert.equal(await operator.tryAcquire('k'), null);
      assert.equal(await lock.release(), 'released');
      assert.equal(await operator.revoke('k'), 0);
    },

    'a lock that is broken is lost at once, and the next one has it': async (world) => {
      const [locks, operator] = [world.service(), world.service()];
      const lock = await locks.acquire('k');
      const { signal } = lock;
      const next = operator.acquire('k', { wait: LONG });
      next.catch(() => undefined);
      await eventually('the waiter', async () => (await locks.inspect('k')).waiters === 1);
      assert.equal(await operator.forceRelease('k'), 1);
      await soon('the next holder', next);
      await soon('the loss', aborted(signal));
      assert.deepEqual([lock.held, lock.remaining], [false, 0]);
      assert.equal(await lock.release(), 'stolen');
      await (await next).release();
    },

    'minHold keeps the key taken, however early the lock is given back': async (world) => {
      const [locks, other] = [world.service(), world.service()];
      const minHold = 2 * world.short;
      const begun = performance.now();
      await locks.withLock('job', { minHold }, () => undefined);
      assert.equal(await other.tryAcquire('job'), null);
      assert.equal(await locks.tryAcquire('job'), null);
      const next = await soon('the end', other.acquire('job', { wait: LONG }), minHold + 2 * SOON);
      assert.ok(performance.now() - begun >= minHold - 5);
      await next.release();
    },

    'minHold costs nothing when the lock was held for longer': async (world) => {
      const locks = world.service();
      const lock = await locks.acquire('job', { minHold: 1 });
      const ends = performance.now() + 1;
      await eventually('the end of it', () => performance.now() > ends);
      await lock.release();
      assert.ok((await locks.tryAcquire('job'))?.held);
    },
  },
};
