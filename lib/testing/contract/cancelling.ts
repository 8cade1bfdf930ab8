import assert from 'node:assert/strict';
import type { Chapter } from '../chapter.js';
import { SOON } from '../patience.js';

/** Races are run so often, since each run is won by one side or the other. */
const ROUNDS = 100;

export const cancelling: Chapter = {
  title: 'withdrawing a request',
  tests: {
    'a waiter leaves the queue, and is never granted': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      const place = await b.queue('k');
      await b.cancel(place);
      assert.equal((await a.connection.inspect('k')).waiters, 0);
      await a.release(held);
      assert.deepEqual((await a.connection.inspect('k')).holders, []);
    },

    'those behind it move up': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const held = await a.take('k');
      const place = await b.queue('k');
      const next = await c.queue('k');
      await b.cancel(place);
      await a.release(held);
      await next.grant();
    },

    'the lease of a holder ends, and goes to the next in the queue': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      const next = await b.queue('k');
      await a.cancel(held);
      assert.ok((await next.grant()).token > held.grant.token);
      assert.deepEqual(await a.renew([held]), [false]);
    },

    'a request that the store does not know is nothing to withdraw': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      await b.cancel({ request: b.request('free') });
      assert.ok(!(await a.findsBusy('free')));

      const held = await a.take('k');
      const next = await c.queue('k');
      await b.cancel({ request: b.request('k') });
      await b.cancel({ request: b.request('k') });
      assert.deepEqual(await a.renew([held]), [true]);
      await a.release(held);
      await next.grant();
    },

    'who lost a lease does not withdraw that of its successor': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const lost = await a.take('k', world.short);
      const next = await b.queue('k');
      await next.grant(world.short + SOON);
      await b.renew([next]);
      await a.cancel(lost);
      assert.deepEqual(await b.renew([next]), [true]);
      assert.ok(await c.findsBusy('k'));
    },

    'a request withdrawn while it is under way leaves nothing behind': async (world) => {
      const [a, b] = [world.process(), world.process()];
      for (let round = 0; round < ROUNDS; round++) {
        const request = a.request('k', undefined, round % 2 === 0);
        // It may settle as it likes: what counts is what stays behind at the store.
        a.ask(request).catch(() => undefined);
        await a.cancel({ request });
        const held = await b.takeInTurn('k');
        await b.release(held);
      }
      assert.deepEqual(await a.connection.inspect('k'), { holders: [], waiters: 0, queue: [] });
    },

    'a request withdrawn on its way into the queue does not stand there for ever': async (
      world,
    ) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      for (let round = 0; round < ROUNDS; round++) {
        const held = await a.take('k');
        const request = b.request('k', undefined, true);
        b.ask(request).catch(() => undefined);
        const next = c.takeInTurn('k');
        await Promise.all([b.cancel({ request }), a.release(held)]);
        await c.release(await next);
      }
      assert.deepEqual(await a.connection.inspect('k'), { holders: [], waiters: 0, queue: [] });
    },

    'a hand-off that races the withdrawal of its waiter is not leaked': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      for (let round = 0; round < ROUNDS; round++) {
        const held = await a.take('k');
        const leaving = await b.queue('k');
        const next = await c.queue('k');
        const steps = [() => a.release(held), () => b.cancel(leaving)];
        if (round % 2 === 0) steps.reverse();
        await Promise.all(steps.map((step) => step()));
        await next.grant();
        assert.equal(await c.release(next), true);
      }
      assert.deepEqual(await a.connection.inspect('k'), { holders: [], waiters: 0, queue: [] });
    },
  },
};
