import assert from 'node:assert/strict';
import type { Chapter } from '../chapter.js';
import { LONG, SOON } from '../patience.js';
import type { Sharing } from '../world.js';

const READER: Sharing = { mode: 'shared' };

export const sharing: Chapter = {
  title: 'readers and writers',
  needs: 'shared',
  tests: {
    'readers hold together, each with a token of its own': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const one = await a.take('k', LONG, SOON, READER);
      const two = await b.take('k', LONG, SOON, READER);
      const three = await a.take('k', LONG, SOON, READER);
      const tokens = [one, two, three].map(({ grant }) => grant.token);
      assert.deepEqual(
        tokens,
        [...new Set(tokens)].sort((x, y) => x - y),
      );
      const { holders } = await b.connection.inspect('k');
      assert.deepEqual(
        holders.map(({ id, token, mode }) => ({ id, token, mode })),
        [one, two, three].map(({ request: { id }, grant: { token } }) => ({
          id,
          token,
          mode: 'shared',
        })),
      );
    },

    'a writer keeps out readers and writers, and a reader keeps out writers': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const writer = await a.take('k');
      assert.ok(await b.findsBusy('k', SOON, READER));
      await a.release(writer);
      await a.take('k', LONG, SOON, READER);
      assert.ok(await b.findsBusy('k'));
      assert.ok(!(await b.findsBusy('k', SOON, READER)));
    },

    'a writer is let in when the last reader has left': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const first = await a.take('k', LONG, SOON, READER);
      const last = await b.take('k', LONG, SOON, READER);
      const writer = await c.queue('k');
      await a.release(first);
      const { holders, waiters } = await a.connection.inspect('k');
      assert.deepEqual([holders.map(({ id }) => id), waiters], [[last.request.id], 1]);
      await b.release(last);
      const grant = await writer.grant();
      assert.ok(grant.token > last.grant.token);
    },

    'a reader never passes a writer who waits, whether it queues or not': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const reader = await a.take('k', LONG, SOON, READER);
      const writer = await b.queue('k');
      assert.ok(await c.findsBusy('k', SOON, READER));
      const late = await c.queue('k', LONG, READER);
      assert.equal((await a.connection.inspect('k')).waiters, 2);
      await a.release(reader);
      const before = await writer.grant();
      assert.equal((await a.connection.inspect('k')).waiters, 1);
      await b.release(writer);
      assert.ok((await late.grant()).token > before.token);
    },

    'all readers at the head are let in together, up to the next writer': async (world) => {
      const peers = Array.from({ length: 5 }, () => world.process());
      const [a, b, c, d, e] = peers as [...typeof peers, never, never, never, never, never];
      const writer = await a.take('k');
      const readers = [await b.queue('k', LONG, READER), await c.queue('k', LONG, READER)];
      const next = await d.queue('k');
      const behind = await e.queue('k', LONG, READER);
      await a.release(writer);
      const grants = await Promise.all(readers.map((reader) => reader.grant()));
      assert.notEqual(grants[0]?.token, grants[1]?.token);
      assert.equal((await a.connection.inspect('k')).waiters, 2);
      await b.release(readers[0] as (typeof readers)[number]);
      await c.release(readers[1] as (typeof readers)[number]);
      await next.grant();
      await d.release(next);
      await behind.grant();
    },

    'a writer who gives up lets in the readers behind it': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      await a.take('k', LONG, SOON, READER);
      const writer = await b.queue('k');
      const reader = await c.queue('k', LONG, READER);
      await b.cancel(writer);
      await reader.grant();
    },

    'one dead reader costs its own ttl, and no other': async (world) => {
      const [dead, a, b] = [world.process(), world.process(), world.process()];
      const { grant } = await dead.take('k', world.short, SOON, READER);
      const alive = await a.take('k', LONG, SOON, READER);
      const writer = await b.queue('k');
      await a.release(alive);
      await writer.grant(world.short + SOON);
      assert.ok(grant.since.elapsed >= grant.ttl);
    },

    'each reader is renewed and released by itself': async (world) => {
      const [a, b, c] = [world.process(), world.process(), world.process()];
      const short = await a.take('k', world.short, SOON, READER);
      const other = await b.take('k', LONG, SOON, READER);
      assert.deepEqual(await a.renew([short], LONG), [true]);
      const [first] = (await a.connection.inspect('k')).holders;
      assert.ok(first !== undefined && first.remaining > LONG - SOON);
      assert.equal(await b.release(other), true);
      assert.equal(await b.release(other), false);
      assert.deepEqual(await b.renew([other]), [false]);
      assert.ok(await c.findsBusy('k'));
      assert.equal(await a.release(short), true);
      assert.ok(!(await c.findsBusy('k')));
    },

    'asked again, a reader has the same grant': async (world) => {
      const [a, b] = [world.process(), world.process()];
      await b.take('k', LONG, SOON, READER);
      const held = await a.take('k', LONG, SOON, READER);
      const again = await a.ask(held.request);
      assert.ok(again.state === 'granted' && again.token === held.grant.token);
      assert.equal((await a.connection.inspect('k')).holders.length, 2);
    },

    'a downgrade lets in the readers who wait, and keeps the token': async (world) => {
      const [a, b, c, d] = [world.process(), world.process(), world.process(), world.process()];
      const held = await a.take('k');
      const reader = await b.queue('k', LONG, READER);
      const writer = await c.queue('k');
      assert.equal(await a.downgrade(held), true);
      await reader.grant();
      const { holders, waiters } = await a.connection.inspect('k');
      assert.deepEqual(
        holders.map(({ mode }) => mode),
        ['shared', 'shared'],
      );
      assert.deepEqual([holders[0]?.token, waiters], [held.grant.token, 1]);
      assert.ok(await d.findsBusy('k', SOON, READER));
      assert.equal(await a.downgrade(held), true);
      const shared = { ...held, request: { ...held.request, mode: 'shared' as const } };
      assert.deepEqual(await a.renew([shared], LONG), [true]);
      await b.release(reader);
      assert.equal(await a.release(held), true);
      await writer.grant();
    },

    'a lease that ended cannot be downgraded': async (world) => {
      const [a, b] = [world.process(), world.process()];
      const held = await a.take('k');
      await a.release(held);
      const next = await b.take('k');
      assert.equal(await a.downgrade(held), false);
      const [holder] = (await a.connection.inspect('k')).holders;
      assert.deepEqual([holder?.token, holder?.mode], [next.grant.token, 'exclusive']);
    },
  },
};
