import assert from 'node:assert/strict';
import type { LockMode, WebLockManager } from '../../interfaces/index.js';
import type { Chapter } from '../chapter.js';
import { eventually, rejection, soon } from '../patience.js';

const READ = { mode: 'shared' } as const;

/** Holds a lock until it is let go; resolves once it is held. */
async function hold(manager: WebLockManager, name: string, mode: LockMode = 'exclusive') {
  let granted!: () => void;
  let letGo!: () => void;
  const held = new Promise<void>((resolve) => (granted = resolve));
  const end = new Promise<void>((resolve) => (letGo = resolve));
  const request = manager.request(name, { mode }, () => {
    granted();
    return end;
  });
  // Whoever waits for it hears of it.
  request.catch(() => undefined);
  await soon(`the lock of ${name}`, held);
  return { request, letGo };
}

/** Waits until so many requests wait for locks. */
function pending(manager: WebLockManager, count: number): Promise<void> {
  const waiting = async () => (await manager.query()).pending.length === count;
  return eventually(`${count} who wait`, waiting);
}

export const webLocks: Chapter = {
  title: 'web locks',
  needs: 'shared',
  tests: {
    'requests of several clients are served in their order, readers together': async (world) => {
      const [one, other] = [world.service().manager(), world.service().manager()];
      const order: string[] = [];
      const first = await hold(one, 'k', 'shared');
      const second = await hold(other, 'k', 'shared');
      const writer = other.request('k', () => order.push('writer'));
      await pending(one, 1);
      const reader = one.request('k', READ, () => order.push('reader'));
      first.letGo();
      second.letGo();
      await soon('all requests', Promise.all([writer, reader]));
      assert.deepEqual(order, ['writer', 'reader']);
    },

    'ifAvailable calls back with null while another client has it': async (world) => {
      const [one, other] = [world.service().manager(), world.service().manager()];
      const ask = (name: string) => one.request(name, { ifAvailable: true }, (lock) => lock);
      const { request, letGo } = await hold(other, 'k');
      assert.equal(await ask('k'), null);
      assert.deepEqual(await ask('free'), { name: 'free', mode: 'exclusive' });
      letGo();
      await request;
      assert.notEqual(await ask('k'), null);
    },

    'who is aborted while it waits leaves the queue': async (world) => {
      const [one, other] = [world.service().manager(), world.service().manager()];
      const { request, letGo } = await hold(other, 'k');
      const caller = new AbortController();
      const waiting = one.request('k', { signal: caller.signal }, () => 'ran');
      await pending(other, 1);
      caller.abort('enough');
      assert.equal(await rejection('the wait', waiting), 'enough');
      await pending(other, 0);
      letGo();
      await request;
    },

    'who is stolen from hears of it while its callback goes on': async (world) => {
      const [one, other] = [world.service().manager(), world.service().manager()];
      const { request } = await hold(other, 'k');
      const stolen = one.request('k', { steal: true }, (lock) => lock?.mode);
      assert.equal(await soon('the theft', stolen), 'exclusive');
      const error = await rejection('the request that lost it', request);
      assert.ok(error instanceof DOMException);
      assert.equal(error.name, 'AbortError');
    },

    'of two thieves in one client the last wins': async (world) => {
      const manager = world.service().manager();
      await hold(manager, 'k');
      const first = manager.request('k', { steal: true }, () => new Promise(() => undefined));
      const last = manager.request('k', { steal: true }, () => 'last');
      assert.equal(((await rejection('the first', first)) as Error).name, 'AbortError');
      assert.equal(await soon('the last', last), 'last');
    },

    'query tells of all clients who holds and who waits, each by its own id': async (world) => {
      const [one, other] = [world.service().manager(), world.service().manager()];
      const writer = await hold(one, 'a');
      const readers = [await hold(one, 'b', 'shared'), await hold(other, 'b', 'shared')];
      const waiting = other.request('a', READ, () => undefined);
      await pending(one, 1);

      const { held, pending: waiters } = await other.query();
      const ids = new Map(held.map(({ name, mode, clientId }) => [clientId, `${name} ${mode}`]));
      assert.equal(ids.size, 2);
      const shown = held.map(({ name, mode }) => `${name} ${mode}`).sort();
      assert.deepEqual(shown, ['a exclusive', 'b shared', 'b shared']);
      const writerId = held.find(({ name }) => name === 'a')?.clientId;
      assert.deepEqual(
        waiters.map(({ name, mode, clientId }) => [name, mode, clientId === writerId]),
        [['a', 'shared', false]],
      );
      for (const { letGo } of [writer, ...readers]) letGo();
      await soon('the reader', waiting);
    },
  },
};
