import assert from 'node:assert/strict';
import type { Answer } from '../../backends/lock-backend.js';
import { Instant } from '../../time/clock.js';
import type { Chapter } from '../chapter.js';
import { LONG, SOON } from '../patience.js';
import type { Peer, Sharing } from '../world.js';

const PAIR: Sharing = { limit: 2 };
const THREE: Sharing = { limit: 3 };

export const counting: Chapter = {
  title: 'a limit',
  needs: 'limit',
  tests: {
    'lets in so many and no more, each with a token of its own': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const one = await a.take('k', LONG, SOON, PAIR);
      const two = await b.take('k', LONG, SOON, PAIR);
      assert.ok(two.grant.token > one.grant.token);
      assert.ok(await a.findsBusy('k', SOON, PAIR));
      const { holders } = await a.connection.inspect('k');
      assert.deepEqual(
        holders.map(({ id, mode }) => [id, mode]),
        [one, two].map(({ request }) => [request.id, 'exclusive']),
      );
    },

    'a permit that is given back goes to the first in the queue': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const one = await a.take('k', LONG, SOON, PAIR);
      const two = await b.take('k', LONG, SOON, PAIR);
      const first = await c.queue('k', LONG, PAIR);
      const second = await a.queue('k', LONG, PAIR);
      await b.release(two);
      const grant = await first.grant();
      assert.ok(grant.token > two.grant.token);
      assert.equal((await a.connection.inspect('k')).waiters, 1);
      assert.ok(await b.findsBusy('k', SOON, PAIR));
      await a.release(one);
      await second.grant();
    },

    'nobody passes who waits': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = [
        await a.take('k', LONG, SOON, PAIR),
        await a.take('k', LONG, SOON, PAIR),
      ] as const;
      const places = [await b.queue('k', LONG, PAIR), await b.queue('k', LONG, PAIR)] as const;
      const last = await a.queue('k', LONG, PAIR);
      await a.release(held[0]);
      await places[0].grant();
      await a.release(held[1]);
      await places[1].grant();
      assert.equal((await a.connection.inspect('k')).waiters, 1);
      await b.release(places[0]);
      await last.grant();
    },

    'a dead holder costs its own permit for its ttl': async (world) => {
      const [dead, a, b] = [world.process(), world.process(), world.process()];
      const { grant } = await dead.take('k', world.short, SOON, PAIR);
      await a.take('k', LONG, SOON, PAIR);
      const next = await b.queue('k', LONG, PAIR);
      await next.grant(world.short + SOON);
      assert.ok(grant.since.elapsed >= grant.ttl);
      assert.ok(await a.findsBusy('k', SOON, PAIR));
    },

    'who has another one and does not queue is told that of those who hold it, and gets nothing':
      async (world) => {
        const [a, b] = [world.process(), world.process()];
        const held = await a.take('k', LONG, SOON, PAIR);
        assert.deepEqual(await once(b, THREE), { state: 'busy', limit: 2 });
        assert.deepEqual(await once(b), { state: 'busy', limit: 2 });
        if (world.backend.supports.shared) {
          assert.deepEqual(await once(b, { mode: 'shared' }), { state: 'busy', limit: 2 });
        }
        const { holders, waiters } = await a.connection.inspect('k');
        assert.deepEqual([holders.length, waiters], [1, 0]);
        await a.release(held);
        await b.take('k', LONG, SOON, THREE);
        assert.deepEqual(await once(a, PAIR), { state: 'busy', limit: 3 });
      },

    'a plain lock is held with the limit 1': async (world) => {
      const [a, b] = [world.process(), world.process()];
      await a.take('k');
      assert.deepEqual(await once(b, PAIR), { state: 'busy', limit: 1 });
      assert.deepEqual(await once(b), { state: 'busy' });
    },

    'who has another one waits until all who came before are gone': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = [
        await a.take('k', LONG, SOON, PAIR),
        await b.take('k', LONG, SOON, PAIR),
      ] as const;
      const places = [await b.queue('k', LONG, THREE), await a.queue('k', LONG, THREE)] as const;
      await a.release(held[0]);
      assert.deepEqual(await crowd(a), [1, 2]);
      await b.release(held[1]);
      const grants = [await places[0].grant(), await places[1].grant()];
      assert.ok(grants.every(({ token }) => token > held[1].grant.token));
      await b.take('k', LONG, SOON, THREE);
      assert.deepEqual(await once(a, THREE), { state: 'busy' });
    },

    'nobody passes who waits with another one, also where there is room': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const held = await a.take('k', LONG, SOON, THREE);
      const first = await b.queue('k', LONG, PAIR);
      const second = await c.queue('k', LONG, THREE);
      assert.deepEqual(await once(a, THREE), { state: 'busy' });
      assert.deepEqual(await crowd(a), [1, 2]);
      await a.release(held);
      await first.grant();
      assert.deepEqual(await crowd(a), [1, 1]);
      await b.release(first);
      await second.grant();
      assert.deepEqual(await crowd(a), [1, 0]);
    },

    'who gives up waiting with another one lets in those behind it': async (world) => {
      const [a, b] = [world.process(), world.process()];
      await a.take('k', LONG, SOON, THREE);
      const first = await b.queue('k', LONG, PAIR);
      const second = await a.queue('k', LONG, THREE);
      await b.cancel(first);
      await second.grant();
      assert.deepEqual(await crowd(a), [2, 0]);
    },

    'a lock that is held alone and one that is not follow each other': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      const pair = [await b.queue('k', LONG, PAIR), await a.queue('k', LONG, PAIR)] as const;
      const alone = await b.queue('k');
      const last = await a.queue('k', LONG, PAIR);
      await a.release(held);
      await pair[0].grant();
      await pair[1].grant();
      await b.release(pair[0]);
      assert.deepEqual(await crowd(a), [1, 2]);
      await a.release(pair[1]);
      await alone.grant();
      assert.deepEqual(await crowd(a), [1, 1]);
      await b.release(alone);
      await last.grant();
    },

    'readers are none of those who are counted': async (world) => {
      if (!world.backend.supports.shared) return;
      const reader: Sharing = { mode: 'shared' };
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k', LONG, SOON, reader);
      assert.deepEqual(await once(b, PAIR), { state: 'busy', limit: 1 });
      const permit = await b.queue('k', LONG, PAIR);
      const readers = [await a.queue('k', LONG, reader), await b.queue('k', LONG, reader)] as const;
      await a.release(held);
      await permit.grant();
      assert.deepEqual(await crowd(a), [1, 2]);
      await b.release(permit);
      await readers[0].grant();
      await readers[1].grant();
      assert.deepEqual(await crowd(a), [2, 0]);
    },

    'dead holders keep out who has another one for the longest ttl among them': async (world) => {
      const [dead, a] = [world.process(), world.process()];
      const long = 2 * world.short;
      const { grant } = await dead.take('k', long, SOON, THREE);
      await dead.take('k', world.short, SOON, THREE);
      const next = await a.queue('k', LONG, PAIR);
      await next.grant(long + SOON);
      assert.ok(grant.since.elapsed >= grant.ttl);
    },

    'a key that is kept taken is kept with its limit': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k', LONG, SOON, PAIR);
      const start = Instant.now();
      await a.release(held, SOON, world.short);
      assert.deepEqual(await once(b, THREE), { state: 'busy', limit: 2 });
      await (await b.queue('k', LONG, THREE)).grant(world.short + SOON);
      assert.ok(start.elapsed >= world.short - 5);
    },

    'each permit is renewed and released by itself, and asked again it is the same': async (
      world,
    ) => {
      const [a, b] = [world.process(), world.process()];
      const one = await a.take('k', world.short, SOON, PAIR);
      const two = await b.take('k', LONG, SOON, PAIR);
      assert.deepEqual(await a.renew([one], LONG), [true]);
      const again = await a.ask(one.request);
      assert.ok(again.state === 'granted' && again.token === one.grant.token);
      assert.equal(await b.release(two), true);
      assert.equal(await b.release(two), false);
      assert.deepEqual(
        (await a.connection.inspect('k')).holders.map(({ id }) => id),
        [one.request.id],
      );
    },
  },
};

/** What comes of one attempt. */
function once(peer: Peer, sharing?: Sharing): Promise<Answer> {
  return peer.ask(peer.request('k', LONG, false, sharing));
}

/** How many hold the key and wait for it. */
async function crowd({ connection }: Peer): Promise<[holders: number, waiters: number]> {
  const { holders, waiters } = await connection.inspect('k');
  return [holders.length, waiters];
}
