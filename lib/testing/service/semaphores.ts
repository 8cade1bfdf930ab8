import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { LockConfigurationError, LockTimeoutError } from '../../errors/index.js';
import type { Chapter } from '../chapter.js';
import { A_THOUSAND, aborted, inVain, LONG, rejection, SOON, soon } from '../patience.js';

export const semaphores: Chapter = {
  title: 'semaphores',
  needs: 'limit',
  tests: {
    'as many as the limit are inside, in whatever process, and never more': async (world) => {
      const services = [world.service({ wait: LONG }), world.service({ wait: LONG })];
      let [inside, most] = [0, 0];
      const body = async () => {
        most = Math.max(most, ++inside);
        // Until as many were inside at once: no store is so quick that they had to be.
        do await turn();
        while (most < 3);
        inside--;
      };
      const calls = Array.from({ length: 20 }, (_, n) =>
        services.map((locks) => locks.withLock('k', { limit: 3, ttl: LONG + n }, body)),
      );
      await soon('all calls', Promise.all(calls.flat()), A_THOUSAND);
      assert.equal(most, 3);
    },

    'another limit for a key in use is waited for, and both numbers are told to who does not wait':
      async (world) => {
        const [locks, other] = [world.service(), world.service()];
        const permit = await locks.acquire('k', { limit: 3 });
        for (const limit of [1, 2]) {
          const attempts = [
            () => other.acquire('k', { limit, wait: 0 }),
            () => other.tryAcquire('k', { limit }),
            () => other.tryAcquire(['j', 'k'], { limit }),
          ];
          for (const attempt of attempts) {
            const error = await rejection('the request', attempt());
            assert.ok(error instanceof LockConfigurationError, String(error));
            assert.match(error.message, new RegExp(`\\b3\\b.*\\b${limit}\\b`));
          }
        }
        for (const key of ['k', ['j', 'k']]) {
          const error = await inVain((wait) => other.acquire(key, { limit: 2, wait }));
          assert.ok(error instanceof LockTimeoutError, String(error));
        }
        const waiting = [
          other.acquire('k', { limit: 2, wait: LONG }),
          other.acquire(['j', 'k'], { limit: 2, wait: LONG }),
        ];
        await permit.release();
        for (const granted of waiting) await soon('the grant', granted);
      },

    'a limit that is changed while the key is in use never lets in more than either': async (
      world,
    ) => {
      const services = [1, 2, 3].map((limit) => world.service({ limit, wait: LONG }));
      const inside = new Map<number, number>();
      const clashes: string[] = [];
      const calls = services.flatMap((locks, index) => {
        const limit = index + 1;
        return Array.from({ length: 8 }, () =>
          locks.withLock('k', async () => {
            inside.set(limit, (inside.get(limit) ?? 0) + 1);
            const crowd = [...inside].filter(([, count]) => count > 0);
            if (crowd.length > 1 || crowd.some(([most, count]) => count > most)) {
              clashes.push(JSON.stringify(crowd));
            }
            await turn();
            inside.set(limit, (inside.get(limit) ?? 0) - 1);
          }),
        );
      });
      await soon('all calls', Promise.all(calls), A_THOUSAND);
      assert.deepEqual(clashes, []);
    },

    'each permit is a lock: it has its token and its signal, and is lost alone': async (world) => {
      const locks = world.service();
      const [lost, kept] = [
        await locks.acquire('k', { limit: 2, ttl: world.short, renew: false }),
        await locks.acquire('k', { limit: 2 }),
      ];
      assert.notEqual(lost.fencingToken, kept.fencingToken);
      await soon('the loss', aborted(lost.signal), world.short + SOON);
      assert.deepEqual([lost.held, kept.held, kept.signal.aborted], [false, true, false]);
      await (await soon('a permit', locks.acquire('k', { limit: 2, wait: SOON }))).release();
      assert.equal(await kept.release(), 'released');
    },

    'a permit is not downgraded': async (world) => {
      const permit = await world.service().acquire('k', { limit: 2 });
      const error = await rejection('the downgrade', permit.downgrade());
      assert.ok(error instanceof LockConfigurationError);
    },
  },
};
