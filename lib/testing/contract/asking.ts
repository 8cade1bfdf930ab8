import assert from 'node:assert/strict';
import { Instant } from '../../time/clock.js';
import type { Chapter } from '../chapter.js';
import { A_THOUSAND, LONG, soon } from '../patience.js';

export const asking: Chapter = {
  title: 'asking for a lock',
  tests: {
    'the backend says who it is, and the shortest ttl that it can keep': async ({ backend }) => {
      assert.ok(backend.name.length > 0);
      assert.ok(backend.minTtl > 0 && Number.isFinite(backend.minTtl));
      await Promise.resolve();
    },

    'a free lock is granted at once, with all of its ttl': async (world) => {
      const { grant } = await world.process().take('k', LONG);
      assert.equal(grant.ttl, LONG);
    },

    'a lease does not begin after its grant was heard': async (world) => {
      const { grant } = await world.process().take('k');
      const heard = Instant.now();
      assert.ok(grant.since.elapsed >= heard.elapsed);
    },

    'the same request again has the same grant': async (world) => {
      const a = world.process();
      const { request, grant } = await a.take('k');
      const again = await a.ask(request);
      assert.ok(again.state === 'granted');
      assert.equal(again.token, grant.token);
      assert.ok(await world.process().findsBusy('k'));
    },

    'the same request again has the same place in the queue': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const held = await a.take('k');
      const place = await b.queue('k');
      const behind = await c.queue('k');
      const again = await b.ask(place.request);
      assert.ok(again.state === 'waiting');
      assert.equal((await a.connection.inspect('k')).waiters, 2);

      await a.release(held);
      const grant = await place.grant();
      assert.equal((await soon('the same grant', again.granted)).token, grant.token);
      await b.release(place);
      assert.ok((await behind.grant()).token > grant.token);
    },

    'who does not want to queue is told that the lock is busy, and leaves nothing behind': async (
      world,
    ) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      const answer = await b.ask(b.request('k'));
      assert.equal(answer.state, 'busy');

      const { holders, waiters } = await a.connection.inspect('k');
      assert.deepEqual([holders[0]?.token, waiters], [held.grant.token, 0]);
      await a.release(held);
      assert.deepEqual((await a.connection.inspect('k')).holders, []);
    },

    'two requests of one process exclude each other like any two': async (world) => {
      const a = world.process();
      const held = await a.take('k');
      assert.ok(await a.findsBusy('k'));
      const next = await a.queue('k');
      await a.release(held);
      await next.grant();
    },

    'locks of different keys have nothing to do with each other': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('one');
      const other = await b.take('other');
      await a.release(held);
      assert.ok(await a.findsBusy('other'));
      assert.equal(await b.release(other), true);
    },

    'a thousand locks at once are a thousand locks': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const keys = Array.from({ length: 1_000 }, (_, n) => `k${n}`);
      const taken = await Promise.all(keys.map((key) => a.take(key, LONG, A_THOUSAND)));
      const busy = await Promise.all(keys.map((key) => b.findsBusy(key, A_THOUSAND)));
      assert.ok(busy.every(Boolean));
      const released = await Promise.all(taken.map((one) => a.release(one, A_THOUSAND)));
      assert.ok(released.every(Boolean));
    },
  },
};
