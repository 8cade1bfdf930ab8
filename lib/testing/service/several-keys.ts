import assert from 'node:assert/strict';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { Deadline } from '../../time/clock.js';
import { type LockLostError, LockTimeoutError } from '../../errors/index.js';
import type { LockService } from '../../lock.service.js';
import type { Chapter } from '../chapter.js';
import { A_THOUSAND, aborted, eventually, inVain, LONG, SOON, soon } from '../patience.js';

export const severalKeys: Chapter = {
  title: 'several keys',
  tests: {
    'are locked together, without a deadlock whatever the order in which they are named': async (
      world,
    ) => {
      const orders = [
        ['a', 'b', 'c'],
        ['c', 'b', 'a'],
        ['b', 'a'],
        ['c', 'a'],
      ];
      const inside = new Set<string>();
      const clashes: string[] = [];
      const calls = orders.flatMap((keys) => {
        const locks = world.service({ wait: LONG });
        return Array.from({ length: 5 }, () =>
          locks.withLock(keys, async () => {
            clashes.push(...keys.filter((key) => inside.has(key)));
            for (const key of keys) inside.add(key);
            await turn();
            for (const key of keys) inside.delete(key);
          }),
        );
      });
      await soon('all calls', Promise.all(calls), A_THOUSAND);
      assert.deepEqual(clashes, []);
    },

    'are all or nothing: what was free stays free when another is held': async (world) => {
      const [holder, caller] = [world.service(), world.service()];
      await holder.acquire('b', { ttl: LONG });
      const waited = inVain((wait) => caller.acquire(['a', 'b', 'c'], { wait }));
      await assert.rejects(caller.acquire(['a', 'b', 'c'], { wait: 0 }), LockTimeoutError);
      assert.ok((await waited) instanceof LockTimeoutError);
      assert.equal(await caller.tryAcquire(['a', 'b', 'c']), null);
      // A caller whose wait is over does not wait on for a slow store to take the others back.
      for (const key of ['a', 'c']) {
        await eventually(`${key} is free`, async () => !(await isHeld(caller, key)));
      }
    },

    'that are refused leave nothing taken, whatever their minHold': async (world) => {
      const [holder, caller] = [world.service(), world.service()];
      await holder.acquire('b', { ttl: LONG });
      const minHold = LONG;
      assert.equal(await caller.tryAcquire(['a', 'b', 'c'], { minHold }), null);
      const waited = inVain((wait) => caller.acquire(['a', 'b', 'c'], { minHold, wait }));
      assert.ok((await waited) instanceof LockTimeoutError);
      for (const key of ['a', 'c']) {
        await eventually(`${key} is free`, async () => !(await isHeld(caller, key)));
      }
    },

    'are held for their maxHold, and live for their ttl, from when all are there': async (
      world,
    ) => {
      const [holder, caller] = [world.service(), world.service()];
      const ttl = world.short;
      for (const terms of [{ maxHold: ttl }, { ttl, renew: false }]) {
        const held = await holder.acquire('b', { ttl: LONG });
        const granted = caller.acquire(['a', 'b'], { ...terms, wait: LONG });
        await eventually('a is held', () => isHeld(holder, 'a'));
        await sleep(1.5 * ttl);
        await held.release();
        const lock = await soon('the grant', granted);
        await soon('the end', aborted(lock.signal), ttl + SOON);
        const reason = 'renew' in terms ? 'expired' : 'maxHold';
        assert.equal((lock.signal.reason as LockLostError).reason, reason);
        await lock.release();
      }
    },

    'stay taken for their minHold from when all are there': async (world) => {
      const [holder, caller] = [world.service(), world.service()];
      const minHold = 2 * world.short;
      const held = await holder.acquire('b', { ttl: LONG });
      const granted = caller.acquire(['a', 'b'], { minHold, wait: LONG });
      await eventually('a is held', () => isHeld(holder, 'a'));
      await sleep(minHold / 2);
      const end = Deadline.in(minHold);
      await held.release();
      await (await soon('the grant', granted)).release();
      for (const key of ['a', 'b']) {
        await soon(`the end of ${key}`, holder.acquire(key, { wait: LONG }), minHold + 2 * SOON);
        assert.ok(end.remaining < 5, `${key} was free ${end.remaining} ms before its minHold`);
      }
    },

    'are granted when the last of them is given back, and given back together': async (world) => {
      const [one, other, caller] = [world.service(), world.service(), world.service()];
      const [a, c] = await Promise.all([one.acquire('a'), other.acquire('c')]);
      const granted = caller.acquire(['c', 'b', 'a'], { wait: LONG });
      await a.release();
      await c.release();
      const lock = await soon('the grant', granted);
      assert.deepEqual(lock.keys, ['a', 'b', 'c']);
      assert.ok(lock.held);

      assert.equal(await lock.release(), 'released');
      const free = await Promise.all(lock.keys.map((key) => one.tryAcquire(key)));
      assert.ok(free.every((taken) => taken !== null));
    },

    'have a rising token each': async (world) => {
      const locks = world.service();
      const single = await locks.acquire('b');
      await single.release();
      const lock = await locks.acquire(['a', 'b']);
      assert.ok(lock.fencingTokenOf('b') > single.fencingToken);
      await lock.release();
      const next = await locks.acquire('a');
      assert.ok(next.fencingToken > lock.fencingTokenOf('a'));
    },
  },
};

async function isHeld(locks: LockService, key: string): Promise<boolean> {
  return (await locks.inspect(key)).holders.length > 0;
}
