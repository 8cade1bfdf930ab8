import assert from 'node:assert/strict';
import { Instant } from '../../time/clock.js';
import type { Chapter } from '../chapter.js';
import { LONG, SOON } from '../patience.js';

/** After the end of what was kept, a waiter may notice it so much later, in milliseconds. */
const NOTICED = 2_000;

export const keeping: Chapter = {
  title: 'a release that keeps the key taken for a while',
  tests: {
    'nobody is let in before that is over': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      const next = await b.queue('k');
      const released = Instant.now();
      assert.equal(await a.release(held, SOON, world.short), true);
      assert.ok(await a.findsBusy('k'));
      await next.grant(world.short + NOTICED + SOON);
      assert.ok(released.elapsed >= world.short - 1);
    },

    'the lease is over: it can neither be renewed nor released': async (world) => {
      const a = world.process();
      const held = await a.take('k');
      await a.release(held, SOON, LONG);
      assert.deepEqual(await a.renew([held]), [false]);
      assert.equal(await a.release(held), false);
      assert.ok(await a.findsBusy('k'));
    },

    'it may be kept for longer than its ttl': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k', world.short);
      await a.release(held, SOON, LONG);
      const next = await b.queue('k');
      await assert.rejects(next.grant(2 * world.short));
    },
  },
};
