import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Instant } from '../../time/clock.js';
import type { Chapter } from '../chapter.js';
import { A_THOUSAND, eventually, LONG, SOON } from '../patience.js';
import type { Peer, World } from '../world.js';

export const renewing: Chapter = {
  title: 'renewing a lease',
  tests: {
    'a renewal gives its ttl from now on, and never takes any away': async (world) => {
      const a = world.process();
      const held = await a.take('k', world.short);
      const remaining = async () => (await a.connection.inspect('k')).holders[0]?.remaining ?? 0;

      assert.deepEqual(await a.renew([held], LONG), [true]);
      assert.ok((await remaining()) > LONG - SOON);
      assert.deepEqual(await a.renew([held], world.short), [true]);
      assert.ok((await remaining()) > LONG - SOON);
    },

    'a lease that is not renewed any more ends at the ttl of its last renewal': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k', world.short);
      const next = await b.queue('k');
      await sleep(world.short / 2);
      const renewed = Instant.now();
      assert.deepEqual(await a.renew([held]), [true]);
      await next.grant(world.short + SOON);
      assert.ok(renewed.elapsed >= world.short);
    },

    'many are renewed in one call, and answered in their order': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const one = await a.take('one');
      const foreign = await b.take('foreign');
      const released = await a.take('released');
      await a.release(released);
      const two = await a.take('two');
      const stranger = { request: a.request('foreign') };
      const never = { request: a.request('never') };
      assert.deepEqual(await a.renew([one, stranger, released, two, never]), [
        true,
        false,
        false,
        true,
        false,
      ]);
      assert.equal(await tokenOf(a, 'foreign'), foreign.grant.token);
    },

    'nothing to renew is nothing to answer': async (world) => {
      assert.deepEqual(await world.process().renew([]), []);
    },

    'a thousand leases are renewed in one call': async (world) => {
      const a = world.process();
      const keys = Array.from({ length: 1_000 }, (_, n) => `k${n}`);
      const taken = await Promise.all(keys.map((key) => a.take(key, LONG, A_THOUSAND)));
      const renewed = await a.renew(taken);
      assert.equal(renewed.length, 1_000);
      assert.ok(renewed.every(Boolean));
    },

    'a lease that ended is not created anew': async (world) => {
      const a = world.process();
      const held = await a.take('k', world.short);
      await waitUntilFree(world, a, 'k');
      assert.deepEqual(await a.renew([held], LONG), [false]);
      assert.equal(await tokenOf(a, 'k'), undefined);
      assert.ok(!(await world.process().findsBusy('k')));
    },

    'who lost a lease does not prolong that of its successor': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const lost = await a.take('k', world.short);
      await waitUntilFree(world, a, 'k');
      const held = await b.take('k', world.short);
      assert.deepEqual(await a.renew([lost], LONG), [false]);
      assert.equal(await tokenOf(a, 'k'), held.grant.token);
      await waitUntilFree(world, a, 'k');
    },

    'a waiter has nothing to renew': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      const place = await b.queue('k');
      assert.deepEqual(await b.renew([place]), [false]);
      assert.equal(await tokenOf(a, 'k'), held.grant.token);
    },
  },

  hurried: {
    'a lease that is renewed lives on, beyond many ttl': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k', world.short);
      while (held.grant.since.elapsed < 3 * world.short) {
        await sleep(world.short / 4);
        assert.deepEqual(await a.renew([held]), [true]);
      }
      assert.ok(await b.findsBusy('k'));
      assert.equal(await tokenOf(a, 'k'), held.grant.token);
    },
  },
};

async function tokenOf(peer: Peer, key: string): Promise<number | undefined> {
  return (await peer.connection.inspect(key)).holders[0]?.token;
}

/** Waits for the end of a lease that nobody renews, and is of the short ttl. */
async function waitUntilFree(world: World, peer: Peer, key: string): Promise<void> {
  await eventually(
    `the end of the lease of ${key}`,
    async () => (await tokenOf(peer, key)) === undefined,
    world.short + SOON,
  );
}
