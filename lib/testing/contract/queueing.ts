import assert from 'node:assert/strict';
import type { Chapter } from '../chapter.js';
import { LONG, SOON } from '../patience.js';

/** A process that vanished without a word may hold up the others for so long, in milliseconds. */
const GONE_WAITER = 4_000;

export const queueing: Chapter = {
  title: 'queueing for a lock',
  tests: {
    'a release grants the first in the queue': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      const next = await b.queue('k');
      await a.release(held);
      const grant = await next.grant();
      const { holders, waiters } = await a.connection.inspect('k');
      assert.deepEqual([holders.map(({ token }) => token), waiters], [[grant.token], 0]);
    },

    'from the release on the lock belongs to the next one: nobody comes in between': async (
      world,
    ) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const held = await a.take('k');
      const next = await b.queue('k');
      await a.release(held);
      assert.ok(await c.findsBusy('k'));
      await next.grant();
    },

    'a release that races the arrival of a waiter is not missed': async (world) => {
      const [a, b] = [world.process(), world.process()];
      for (let round = 0; round < 100; round++) {
        const held = await a.take('k');
        const arrival = b.takeInTurn('k');
        const departure = a.release(held);
        await b.release(await arrival);
        await departure;
      }
    },

    'five processes are served in the order in which they came': async (world) => {
      const a = world.process();
      const held = await a.take('k');
      const served: number[] = [];
      const turns: Promise<void>[] = [];
      for (const n of [1, 2, 3, 4, 5]) {
        const peer = world.process();
        const place = await peer.queue('k');
        const serve = async () => {
          await place.grant(2 * SOON);
          served.push(n);
          await peer.release(place);
        };
        turns.push(serve());
      }
      await a.release(held);
      await Promise.all(turns);
      assert.deepEqual(served, [1, 2, 3, 4, 5]);
      assert.deepEqual((await a.connection.inspect('k')).holders, []);
    },

    'a lease that was handed over can be renewed to its full ttl': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      const next = await b.queue('k');
      await a.release(held);
      const grant = await next.grant();
      assert.ok(grant.ttl > 0 && grant.ttl <= LONG);
      assert.deepEqual(await b.renew([next]), [true]);
      const [holder] = (await a.connection.inspect('k')).holders;
      assert.equal(holder?.token, grant.token);
      assert.ok(holder.remaining > LONG - SOON);
    },

    'a holder that died is followed when its ttl is over, and never before': async (world) => {
      const [dead, b] = [world.process(), world.process()];
      const { grant } = await dead.take('k', world.short);
      const next = await b.queue('k');
      await next.grant(world.short + SOON);
      assert.ok(grant.since.elapsed >= grant.ttl);
    },

    'a waiter that dies with the grant costs the next one no more than its ttl': async (world) => {
      const [a, dead, c] = [world.process(), world.process(), world.process()];
      const held = await a.take('k');
      const first = await dead.queue('k', world.short);
      const second = await c.queue('k');
      await a.release(held);
      const grant = await first.grant();
      await second.grant(world.short + SOON);
      assert.ok(grant.since.elapsed >= grant.ttl);
    },

    'a waiter whose process is gone does not hold up the others for long': async (world) => {
      const [a, gone, c] = [world.process(), world.process(), world.process()];
      const held = await a.take('k');
      await gone.queue('k', world.short);
      const next = await c.queue('k');
      await gone.close();
      await a.release(held);
      await next.grant(GONE_WAITER + world.short);
    },
  },
};
