import assert from 'node:assert/strict';
import type { Grant } from '../../backends/lock-backend.js';
import type { Chapter } from '../chapter.js';
import { SOON } from '../patience.js';

export const tokens: Chapter = {
  title: 'fencing tokens',
  tests: {
    'are positive safe integers': async (world) => {
      const { grant } = await world.process().take('k');
      assert.ok(Number.isSafeInteger(grant.token) && grant.token > 0, String(grant.token));
    },

    'rise with each grant after a release, whoever asks': async (world) => {
      const peers = [world.process(), world.process(), world.process()];
      let last = 0;
      for (let round = 0; round < 50; round++) {
        for (const peer of peers) {
          const held = await peer.take('k');
          assert.ok(held.grant.token > last, `${held.grant.token} after ${last}`);
          last = held.grant.token;
          await peer.release(held);
        }
      }
    },

    'rise with each hand-off': async (world) => {
      const a = world.process();
      let held: Parameters<typeof a.release>[0] = await a.take('k');
      let last = 0;
      for (let round = 0; round < 20; round++) {
        const next = await a.queue('k');
        await a.release(held);
        const { token } = await next.grant();
        assert.ok(token > last, `${token} after ${last}`);
        last = token;
        held = next;
      }
    },

    "that are reserved with a grant are nobody else's": async (world) => {
      const [a, b] = [world.process(), world.process()];
      let last = 0;
      for (let round = 0; round < 10; round++) {
        const request = { ...a.request('k'), reserve: 7 };
        const grant = await a.ask(request);
        assert.ok(grant.state === 'granted' && grant.token > last, `${round}: not after ${last}`);
        const again = await a.ask(request);
        assert.ok(again.state === 'granted' && lastOf(again) <= lastOf(grant));
        const place = await b.queue('k');
        await a.release({ request });
        const next = await place.grant();
        assert.ok(next.token > lastOf(grant), `${next.token} after ${lastOf(grant)}`);
        last = lastOf(next);
        await b.release(place);
      }
    },

    'rise after a lease that expired': async (world) => {
      const [dead, b] = [world.process(), world.process()];
      const { grant } = await dead.take('k', world.short);
      const next = await b.queue('k');
      assert.ok((await next.grant(world.short + SOON)).token > grant.token);
    },

    'rise after a request that was withdrawn': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const withdrawn = await a.take('k');
      await a.cancel(withdrawn);
      const { grant } = await b.take('k');
      assert.ok(grant.token > withdrawn.grant.token);
    },

    'rise after everybody has gone': async (world) => {
      const a = world.process();
      const held = await a.take('k');
      await a.release(held);
      await a.close();
      const { grant } = await world.process().take('k');
      assert.ok(grant.token > held.grant.token);
    },

    'stay the same through renewals': async (world) => {
      const a = world.process();
      const held = await a.take('k');
      for (let round = 0; round < 3; round++) await a.renew([held]);
      const [holder] = (await a.connection.inspect('k')).holders;
      assert.equal(holder?.token, held.grant.token);
    },

    'rise for each of many keys at the same time': async (world) => {
      const peers = [world.process(), world.process()];
      const last = new Map<string, number>();
      for (let round = 0; round < 10; round++) {
        const turns = Array.from({ length: 50 }, async (_, n) => {
          const [key, peer] = [`k${n}`, peers[(round + n) % 2] ?? world.process()];
          const held = await peer.take(key);
          assert.ok(held.grant.token > (last.get(key) ?? 0), key);
          last.set(key, held.grant.token);
          await peer.release(held);
        });
        await Promise.all(turns);
      }
      assert.equal(last.size, 50);
    },
  },
};

/** The greatest token that came with a grant. */
function lastOf({ token, reserve = 0 }: Grant): number {
  return token + reserve;
}
