import assert from 'node:assert/strict';
import type { Chapter } from '../chapter.js';
import { SOON } from '../patience.js';

export const releasing: Chapter = {
  title: 'releasing a lease',
  tests: {
    'the owner ends its lease, once': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      assert.equal(await a.release(held), true);
      assert.equal(await a.release(held), false);
      await b.take('k');
    },

    'nobody else does': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      assert.equal(await b.release({ request: b.request('k') }), false);
      assert.equal(await a.release({ request: a.request('k') }), false);
      assert.ok(await b.findsBusy('k'));
      assert.equal(await a.release(held), true);
    },

    'what was never taken is not released': async (world) => {
      const a = world.process();
      assert.equal(await a.release({ request: a.request('k') }), false);
    },

    'a release that comes too late leaves the lease of the successor alone': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const lost = await a.take('k', world.short);
      const next = await b.queue('k');
      const grant = await next.grant(world.short + SOON);
      assert.deepEqual(await b.renew([next]), [true]);

      assert.equal(await a.release(lost), false);
      const [holder] = (await c.connection.inspect('k')).holders;
      assert.equal(holder?.token, grant.token);
      assert.ok(await c.findsBusy('k'));
    },

    'a release that comes too late does not hand over what is not its own': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const lost = await a.take('k', world.short);
      const second = await b.queue('k');
      const third = await c.queue('k');
      await second.grant(world.short + SOON);
      await b.renew([second]);

      assert.equal(await a.release(lost), false);
      assert.equal((await a.connection.inspect('k')).waiters, 1);
      assert.equal(await b.release(second), true);
      await third.grant();
    },
  },
};
