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

    'of several thieves at once the last wins, whatever they find': async (world) => {
      const manager = world.service().manager();
      const never = () => new Promise(() => undefined);
      // None of them is waited for before the next one asks.
      const robbed = [
        manager.request('k', never),
        manager.request('k', { steal: true }, never),
        manager.request('k', { steal: true }, never),
        manager.request('k', { steal: true }, never),
      ].map((request) => rejection('one that was stolen from', request));
      const last = manager.request('k', { steal: true }, () => 'last');
      assert.equal(await soon('the last', last), 'last');
      for (const error of await Promise.all(robbed)) {
        assert.equal((error as Error).name, 'AbortError');
      }
    },

    'a thief who lets those pass who wait already is stolen from by the next': async (world) => {
      const manager = world.service().manager();
      const never = () => new Promise(() => undefined);
      const holder = manager.request('k', never);
      const waiting = manager.request('k', () => 'waited');
      const first = manager.request('k', { steal: true }, never);
      const last = manager.request('k', { steal: true }, () => 'last');
      const later = manager.request('k', () => 'later');
      const robbed = [holder, first].map((request) => rejection('one of them', request));
      // The second theft may find it in there.
      const passed = waiting.catch((error: unknown) => (error as Error).name);
      assert.equal(await soon('the last', last), 'last');
      assert.equal(await soon('who asked after it', later), 'later');
      await Promise.all(robbed);
      assert.match(await soon('who waited', passed), /^waited$|^AbortError$/);
    },

    'query sees every request that was made before it': async (world) => {
      const manager = world.service().manager();
      // What has to be asked twice, as on a connection that is only being made, may come later than the next.
      for (const name of ['exclusive', 'shared']) await manager.request(name, () => undefined);
      let letGo!: () => void;
      const end = new Promise<void>((resolve) => (letGo = resolve));
      const requests = (['exclusive', 'shared'] as const).flatMap((mode) =>
        [1, 2, 3].map((n) =>
          manager.request(mode, { mode: n === 1 ? 'exclusive' : mode }, () => end),
        ),
      );
      const { held, pending: waiters } = await manager.query();
      const shown = (infos: typeof held) => infos.map(({ name, mode }) => `${name} ${mode}`).sort();
      assert.deepEqual(shown(held), ['exclusive exclusive', 'shared exclusive']);
      assert.deepEqual(shown(waiters), [
        'exclusive exclusive',
        'exclusive exclusive',
        'shared shared',
        'shared shared',
      ]);
      assert.equal(new Set([...held, ...waiters].map(({ clientId }) => clientId)).size, 1);
      letGo();
      await soon('all of them', Promise.all(requests));
    },

    'readers hear in the order of their requests that they are let in': async (world) => {
      const [one, other] = [world.service().manager(), world.service().manager()];
      const order: string[] = [];
      const writer = await hold(other, 'k');
      const read = (name: string, n: number) =>
        one.request(name, READ, () => order.push(`${name} ${n}`));
      const later = Array.from({ length: 8 }, (_, n) => read('k', n));
      const atOnce = Array.from({ length: 8 }, (_, n) => read(`free ${n % 3}`, n));
      await soon('those who found it free', Promise.all(atOnce));
      writer.letGo();
      await soon('those who waited', Promise.all(later));
      const [free, waited] = [order.slice(0, 8), order.slice(8)];
      assert.deepEqual(free.map((entry) => entry.slice(-1)).join(''), '01234567');
      assert.deepEqual(waited.map((entry) => entry.slice(-1)).join(''), '01234567');
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
