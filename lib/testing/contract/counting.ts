import assert from 'node:assert/strict';
import { LockConfigurationError } from '../../errors/index.js';
import type { Chapter } from '../chapter.js';
import { LONG, SOON } from '../patience.js';
import type { Sharing } from '../world.js';

const PAIR: Sharing = { limit: 2 };

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

    'who disagrees about it is told both numbers, and gets nothing': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k', LONG, SOON, PAIR);
      for (const [limit, queue] of [
        [3, false],
        [1, true],
      ] as const) {
        await assert.rejects(
          async () => b.ask(b.request('k', LONG, queue, { limit })),
          (error: unknown) => {
            assert.ok(error instanceof LockConfigurationError, String(error));
            assert.match(error.message, new RegExp(`\\b2\\b.*\\b${limit}\\b`));
            return true;
          },
        );
      }
      await assert.rejects(
        async () => b.ask(b.request('k', LONG, false, { mode: 'shared' })),
        LockConfigurationError,
      );
      assert.equal((await a.connection.inspect('k')).waiters, 0);
      await a.release(held);
      await b.take('k', LONG, SOON, { limit: 3 });
      await assert.rejects(
        async () => a.ask(a.request('k', LONG, true, PAIR)),
        LockConfigurationError,
      );
    },

    'a plain lock is in use with the limit 1': async (world) => {
      const [a, b] = [world.process(), world.process()];
      await a.take('k');
      await assert.rejects(
        async () => b.ask(b.request('k', LONG, true, PAIR)),
        LockConfigurationError,
      );
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
