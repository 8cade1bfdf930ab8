import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import type { Chapter } from '../chapter.js';
import { A_THOUSAND, LONG, soon } from '../patience.js';

export const excluding: Chapter = {
  title: 'one at a time',
  tests: {
    'fifty increments by three processes are fifty, one after the other, with rising tokens':
      async (world) => {
        const services = [world.service(), world.service(), world.service()];
        const tokens: number[] = [];
        let [counter, inside, most] = [0, 0, 0];
        const increments = Array.from({ length: 50 }, (_, n) => {
          const locks = services[n % 3] ?? world.service();
          return locks.withLock('counter', { wait: LONG }, async (lock) => {
            most = Math.max(most, ++inside);
            tokens.push(lock.fencingToken);
            const read = counter;
            await turn();
            counter = read + 1;
            inside--;
          });
        });
        await soon('all increments', Promise.all(increments), A_THOUSAND);
        assert.deepEqual([counter, most], [50, 1]);
        assert.deepEqual(
          tokens,
          [...new Set(tokens)].sort((a, b) => a - b),
        );
      },

    'calls for different keys run side by side': async (world) => {
      const locks = world.service();
      const inside = new Set<string>();
      let all!: () => void;
      const allInside = new Promise<void>((resolve) => {
        all = resolve;
      });
      const calls = ['a', 'b', 'c'].map((key) =>
        locks.withLock(key, () => {
          inside.add(key);
          if (inside.size === 3) all();
          return allInside;
        }),
      );
      await soon('all three inside', Promise.all(calls));
    },

    'what an operator sees is the holder, its token and what remains, and the waiting processes':
      async (world) => {
        const [holder, other] = [world.service(), world.service({ wait: LONG })];
        const lock = await holder.acquire('k', { ttl: LONG });
        const waiters = [
          other.acquire('k'),
          other.acquire('k'),
          holder.acquire('k', { wait: LONG }),
        ];
        await soon('both processes wait', untilWaiting(2));
        const state = await other.inspect('k');
        assert.equal(state.key, 'k');
        assert.deepEqual(
          state.holders.map(({ fencingToken }) => fencingToken),
          [lock.fencingToken],
        );
        assert.ok((state.holders[0]?.remaining ?? 0) > LONG / 2);

        await lock.release();
        for (const waiter of waiters) void waiter.then((next) => next.release());
        await soon('all are served', Promise.all(waiters));

        async function untilWaiting(count: number): Promise<void> {
          while ((await holder.inspect('k')).waiters !== count) await turn();
        }
      },
  },
};
