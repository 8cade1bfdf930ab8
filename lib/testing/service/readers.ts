import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import {
  LockConfigurationError,
  LockReentrancyError,
  LockTimeoutError,
} from '../../errors/index.js';
import type { LockMode } from '../../interfaces/index.js';
import type { Chapter } from '../chapter.js';
import { A_THOUSAND, eventually, inVain, LONG, rejection, soon } from '../patience.js';

const READ = { mode: 'shared', wait: LONG } as const;
const WRITE = { wait: LONG } as const;

export const readers: Chapter = {
  title: 'readers and writers',
  needs: 'shared',
  tests: {
    'readers of one process and of others are inside together, a writer alone': async (world) => {
      const [one, other] = [world.service(), world.service()];
      const inside: LockMode[] = [];
      let [most, clashes] = [0, 0];
      const enter = (mode: LockMode) => async () => {
        inside.push(mode);
        most = Math.max(most, inside.length);
        if (inside.length > 1 && inside.includes('exclusive')) clashes++;
        // Those who are let in together need not come together.
        if (mode === 'shared') await eventually('two readers inside together', () => most > 1);
        else for (let turns = 0; turns < 3; turns++) await turn();
        inside.splice(inside.indexOf(mode), 1);
      };
      // All of them wait, so that what is let in together depends on nobody's speed.
      const first = await one.acquire('k');
      const order = ['r', 'r', 'r', 'w', 'r', 'r', 'w', 'w', 'r'] as const;
      const calls = order.flatMap((kind) =>
        [one, other].map((locks) =>
          kind === 'r'
            ? locks.withLock('k', READ, enter('shared'))
            : locks.withLock('k', WRITE, enter('exclusive')),
        ),
      );
      await eventually(
        'all waiters',
        async () => (await one.inspect('k')).waiters === calls.length,
      );
      await first.release();
      await soon('all calls', Promise.all(calls), A_THOUSAND);
      assert.equal(clashes, 0);
    },

    'the order of arrival holds within a process too': async (world) => {
      const locks = world.service();
      const served: string[] = [];
      const held = await locks.acquire('k');
      const calls = (['w1', 'w2', 'r1', 'w3', 'r2', 'r3'] as const).map((name) =>
        locks.withLock('k', name.startsWith('r') ? READ : WRITE, () => {
          served.push(name);
        }),
      );
      await held.release();
      await soon('all calls', Promise.all(calls), A_THOUSAND);
      assert.deepEqual(served.slice(0, 4), ['w1', 'w2', 'r1', 'w3']);
      assert.deepEqual([...served.slice(4)].sort(), ['r2', 'r3']);
    },

    'a lock says in which mode it is held, and downgrades once': async (world) => {
      const [locks, other] = [world.service(), world.service()];
      const lock = await locks.acquire('k');
      const reader = other.acquire('k', READ);
      reader.catch(() => undefined);
      assert.equal(lock.mode, 'exclusive');
      const { fencingToken } = lock;
      await lock.downgrade();
      await lock.downgrade();
      assert.deepEqual([lock.mode, lock.held, lock.fencingToken], ['shared', true, fencingToken]);
      const second = await soon('the reader', reader);
      assert.ok(second.fencingToken > fencingToken);
      assert.equal(await other.tryAcquire('k'), null);
      assert.equal(await lock.release(), 'released');
      assert.equal(await second.release(), 'released');
    },

    'who reads and wants to write is refused at once, and told why': async (world) => {
      const locks = world.service({ reentrant: true, wait: LONG });
      await locks.withLock('k', { mode: 'shared' }, async () => {
        const error = await rejection('the upgrade', locks.acquire('k'));
        assert.ok(error instanceof LockReentrancyError);
        assert.match(error.message, /downgrade/);
      });
      await locks.withLock('k', async () => {
        const inner = await locks.acquire('k', { mode: 'shared' });
        await inner.release();
      });
    },

    'what several holders count on is not downgraded': async (world) => {
      const locks = world.service({ reentrant: true });
      await locks.withLock('k', async (outer) => {
        await locks.withLock('k', async () => {
          const error = await rejection('the downgrade', outer.downgrade());
          assert.ok(error instanceof LockConfigurationError);
        });
        await outer.downgrade();
      });
    },

    'a reader who finds a writer times out, and is not seen any more': async (world) => {
      const [locks, other] = [world.service(), world.service()];
      const lock = await locks.acquire('k');
      const error = await inVain((wait) => other.acquire('k', { mode: 'shared', wait }));
      assert.ok(error instanceof LockTimeoutError);
      assert.equal(await other.tryAcquire('k', { mode: 'shared' }), null);
      await eventually('the withdrawal', async () => (await locks.inspect('k')).waiters === 0);
      await lock.release();
    },
  },

  hurried: {
    'a downgraded lock lives on by renewals': async (world) => {
      const locks = world.service({ ttl: world.short });
      const lock = await locks.acquire('k');
      await lock.downgrade();
      const tokens = new Set<number | undefined>();
      const end = performance.now() + 2 * world.short;
      await eventually(
        'two lives of it',
        async () => {
          tokens.add((await locks.inspect('k')).holders[0]?.fencingToken);
          return performance.now() > end;
        },
        LONG,
      );
      assert.deepEqual([...tokens], [lock.fencingToken]);
      lock.assertHeld();
      await lock.release();
    },
  },
};
