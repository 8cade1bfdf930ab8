import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Chapter } from '../chapter.js';
import { eventually, LONG, SOON } from '../patience.js';

export const looking: Chapter = {
  title: 'looking, and leaving',
  tests: {
    'a key that nobody holds has no holder and no waiters, and a look does not change that': async (
      world,
    ) => {
      const a = world.process();
      assert.deepEqual(await a.connection.inspect('k'), {
        holders: [],
        waiters: 0,
        queue: [],
      });
      await a.take('k');
    },

    'the holder is seen with its token and what remains of its lease': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const { grant } = await a.take('k', LONG);
      const { holders } = await b.connection.inspect('k');
      assert.equal(holders.length, 1);
      assert.equal(holders[0]?.token, grant.token);
      assert.ok(holders[0].remaining > LONG - SOON && holders[0].remaining <= LONG);
    },

    'those who wait are counted': async (world) => {
      const a = world.process();
      const held = await a.take('k');
      for (const waiters of [1, 2, 3]) {
        await world.process().queue('k');
        assert.equal((await a.connection.inspect('k')).waiters, waiters);
      }
      assert.equal((await a.connection.inspect('other')).waiters, 0);
      await a.release(held);
      assert.equal((await a.connection.inspect('k')).waiters, 2);
    },

    'a lease that ended by itself is not seen any more': async (world) => {
      const a = world.process();
      await a.take('k', world.short);
      await eventually(
        'the end of the lease',
        async () => (await a.connection.inspect('k')).holders.length === 0,
        world.short + SOON,
      );
    },

    'there is no trouble while the store answers': async (world) => {
      const a = world.process();
      const held = await a.take('k');
      assert.equal(a.connection.troubleWith('k'), undefined);
      await a.release(held);
      assert.equal(a.connection.troubleWith('k'), undefined);
    },

    'who leaves takes nobody with it': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const held = await a.take('k');
      const next = await b.queue('k');
      await c.take('other');
      await c.close();
      assert.deepEqual(await a.renew([held]), [true]);
      await a.release(held);
      await next.grant();
    },

    'who leaves with a lease leaves it to its ttl': async (world) => {
      const [gone, b] = [world.process(), world.process()];
      await gone.take('k', world.short);
      const next = await b.queue('k');
      await gone.close();
      await next.grant(world.short + SOON);
    },

    'when all have left, nothing of theirs keeps this process running': async (world) => {
      await sleep(10); // what is left of earlier tests may go
      const before = running();
      const [a, b] = [world.process(), world.process()];
      await a.take('k');
      await b.queue('k');
      await b.queue('k');
      await Promise.all([a.close(), b.close()]);
      await eventually('the end of all that keeps this process running', () =>
        [...running()].every(([kind, count]) => count <= (before.get(kind) ?? 0)),
      );
    },
  },
};

/** How much keeps this process running, by kind: timers, sockets, servers. */
function running(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}
