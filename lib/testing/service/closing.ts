import assert from 'node:assert/strict';
import { LockLostError, LockShutdownError } from '../../errors/index.js';
import type { Chapter } from '../chapter.js';
import { eventually, LONG, rejection, SOON, soon, stopwatch } from '../patience.js';

export const closing: Chapter = {
  title: 'closing a service',
  tests: {
    'new requests are refused': async (world) => {
      const locks = world.service();
      await locks.acquire('another');
      const closing = locks.close();
      for (const request of [
        () => locks.acquire('k'),
        () => locks.acquire('k', { wait: 0 }),
        () => locks.tryAcquire('k'),
        () => locks.withLock('k', () => assert.fail('the body ran')),
      ]) {
        const error = await rejection('a request', request());
        assert.ok(error instanceof LockShutdownError);
        assert.deepEqual([error.code, error.key], ['LOCK_SHUTDOWN', 'k']);
      }
      await soon('the end', closing);
      assert.ok((await rejection('a request', locks.acquire('k'))) instanceof LockShutdownError);
    },

    'those who wait are told at once, and leave the queue': async (world) => {
      const [holder, locks] = [world.service(), world.service({ shutdownGrace: LONG })];
      const held = await holder.acquire('k');
      const waiting = [1, 2, 3].map(() =>
        rejection('a waiter', locks.acquire('k', { wait: LONG }), 2 * SOON),
      );
      await eventually('the waiter', async () => (await holder.inspect('k')).waiters === 1);
      await soon('the end', locks.close());
      for (const error of await Promise.all(waiting)) assert.ok(error instanceof LockShutdownError);
      assert.equal((await holder.inspect('k')).waiters, 0);
      assert.ok(held.held);
    },

    'holders are asked to finish, and finish under their lock': async (world) => {
      const [locks, other] = [world.service({ shutdownGrace: LONG }), world.service()];
      const log: string[] = [];
      let inside!: () => void;
      const entered = new Promise<void>((resolve) => {
        inside = resolve;
      });
      const body = locks.withLock('k', async (lock) => {
        inside();
        await new Promise((resolve) => {
          lock.signal.addEventListener('abort', resolve);
        });
        const reason: unknown = lock.signal.reason;
        assert.ok(reason instanceof LockLostError);
        assert.equal(reason.reason, 'shutdown');
        lock.assertHeld();
        assert.equal(await other.tryAcquire('k'), null);
        log.push('body');
        return 'result';
      });
      await entered;
      const elapsed = stopwatch();
      await soon(
        'the end',
        locks.close().then(() => log.push('closed')),
      );
      assert.ok(elapsed() < SOON);
      assert.deepEqual(log, ['body', 'closed']);
      assert.equal(await body, 'result');
      assert.ok((await other.tryAcquire('k'))?.held);
    },

    'holders are granted what they need to finish, others are not': async (world) => {
      const [locks, other] = [world.service({ shutdownGrace: LONG }), world.service()];
      const busy = await other.acquire('busy');
      let inside!: () => void;
      const entered = new Promise<void>((resolve) => {
        inside = resolve;
      });
      const body = locks.withLock('k', async ({ signal }) => {
        const waiting = locks.withLock('busy', () => 'had to wait');
        inside();
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve);
        });
        const done = [
          await locks.withLock(['a', 'b'], () => 'several'),
          await locks.withLock('free', () => 'free'),
        ];
        await busy.release();
        return [...done, await waiting];
      });
      await entered;
      const closed = locks.close();
      const refused = await rejection('a request', locks.acquire('free'));
      assert.ok(refused instanceof LockShutdownError);
      assert.deepEqual(await soon('the body', body), ['several', 'free', 'had to wait']);
      await soon('the end', closed);
      assert.ok((await other.tryAcquire('free'))?.held);
    },

    'what is still held after the grace time is lost, and free for others': async (world) => {
      const [locks, other] = [world.service({ shutdownGrace: 100 }), world.service()];
      const lock = await locks.acquire('k', { ttl: LONG });
      const elapsed = stopwatch();
      await soon('the end', locks.close());
      assert.ok(elapsed() >= 98 && elapsed() < SOON, `after ${elapsed()} ms`);
      assert.deepEqual([lock.held, lock.remaining, lock.signal.aborted], [false, 0, true]);
      assert.throws(
        () => lock.assertHeld(),
        (error) => error instanceof LockLostError && error.reason === 'shutdown',
      );
      const next = await other.acquire('k', { wait: 0 });
      assert.equal(await lock.release(), 'shutdown');
      next.assertHeld();
      await next.renew();
    },

    'it can be closed twice, and without having been used': async (world) => {
      const locks = world.service();
      await soon('the end', Promise.all([locks.close(), locks.close()]));
      await soon('the end', locks.close());
    },
  },

  hurried: {
    'other services go on': async (world) => {
      const [locks, other] = [world.service(), world.service({ ttl: world.short })];
      await locks.acquire('k');
      const kept = await other.acquire('other');
      const next = other.acquire('k', { wait: LONG });
      await soon('the end', locks.close());
      assert.ok((await soon('the hand-off', next)).held);
      await kept.renew();
      kept.assertHeld();
    },
  },
};
