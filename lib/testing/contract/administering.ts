import assert from 'node:assert/strict';
import type { Chapter } from '../chapter.js';
import { A_THOUSAND, eventually, LONG, SOON } from '../patience.js';
import type { World } from '../world.js';

export const administering: Chapter = {
  title: 'what operators do',
  tests: {
    'a key shows who holds it and who waits, and for how long': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      const place = await b.queue('k');
      const { holders, waiters, queue } = await b.connection.inspect('k');
      const [holder] = holders;
      assert.deepEqual(
        [holder?.id, holder?.token, holder?.mode],
        [held.request.id, held.grant.token, 'exclusive'],
      );
      assert.ok(holder !== undefined && holder.age >= 0 && holder.age < SOON);
      assert.equal(waiters, 1);
      assert.deepEqual(
        queue.map(({ id, mode }) => ({ id, mode })),
        [{ id: place.request.id, mode: 'exclusive' }],
      );
      assert.ok(queue.every(({ age }) => age >= 0 && age < SOON));
    },

    'waiters are shown in the order in which they are served, a hundred at most': async (world) => {
      const [a, b] = [world.process(), world.process()];
      await a.take('k');
      const places = [];
      for (let n = 0; n < 103; n++) places.push(await b.queue('k'));
      const { waiters, queue } = await a.connection.inspect('k');
      assert.equal(waiters, 103);
      assert.deepEqual(
        queue.map(({ id }) => id),
        places.slice(0, 100).map(({ request }) => request.id),
      );
    },

    'the keys that are held are listed, by a pattern if one is given': async (world) => {
      const a = world.process();
      for (const key of ['order:1', 'order:22', 'stock:1', 'a/b', '[x]*\\', 'ünïcode']) {
        await a.take(key);
      }
      const released = await a.take('order:3');
      await a.release(released);
      assert.deepEqual(await listed(world, 'order:*'), ['order:1', 'order:22']);
      assert.deepEqual(await listed(world, 'order:?'), ['order:1']);
      assert.deepEqual(await listed(world, '*:1'), ['order:1', 'stock:1']);
      assert.deepEqual(await listed(world, '[x]*'), ['[x]*\\']);
      assert.deepEqual(await listed(world, 'order'), []);
      assert.equal((await listed(world, '*')).length, 6);
    },

    'many keys are listed, each of them': async (world) => {
      const a = world.process();
      const keys = Array.from({ length: 500 }, (_, n) => `k${n}`);
      await Promise.all(keys.map((key) => a.take(key, LONG, A_THOUSAND)));
      assert.deepEqual(await listed(world, 'k*'), [...keys].sort());
    },

    'a holder is told that somebody asks for its lock, which stays its own': async (world) => {
      const [a, operator] = [world.process(), world.process()];
      const held = await a.take('k');
      const revocation = { reason: 'maintenance: node 7 goes', grace: 1_234 };
      assert.equal(await operator.connection.revoke('k', revocation), 1);
      await eventually('the message', () => a.told.revoked.length > 0);
      assert.deepEqual(a.told.revoked, [[held.request.id, revocation]]);
      assert.deepEqual(operator.told.revoked, []);
      assert.ok(await operator.findsBusy('k'));
      assert.equal(await operator.connection.revoke('free', revocation), 0);
    },

    'a lock that is broken goes to the next in the queue, and its holder is told': async (
      world,
    ) => {
      const [a, b, operator] = [world.process(), world.process(), world.process()];
      const held = await a.take('k');
      const next = await b.queue('k');
      assert.equal(await operator.connection.forceRelease('k'), 1);
      assert.ok((await next.grant()).token > held.grant.token);
      await eventually('the message', () => a.told.lost.length > 0);
      assert.deepEqual([...new Set(a.told.lost)], [held.request.id]);
      assert.deepEqual(await a.renew([held]), [false]);
      assert.equal(await a.release(held), false);
      await b.release(next);
      assert.equal(await operator.connection.forceRelease('k'), 0);
    },

    'a key that was only kept taken is free when it is broken': async (world) => {
      const [a, operator] = [world.process(), world.process()];
      await a.release(await a.take('k'), SOON, LONG);
      assert.ok(await operator.findsBusy('k'));
      await operator.connection.forceRelease('k');
      assert.ok(!(await operator.findsBusy('k')));
    },
  },
};

async function listed(world: World, pattern: string): Promise<string[]> {
  const keys = new Set<string>();
  for await (const key of world.process().connection.list(pattern)) keys.add(key);
  return [...keys].sort();
}
