import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisBackend, type RedisBackendOptions } from 'nestjs-lock/redis';
import {
  entered,
  machineTime,
  overlaps,
  violations,
  visit,
  type Visit,
} from '../support/history.js';
import type { RedisNode } from '../support/redis-nodes.js';
import { RedisSentinels } from '../support/redis-sentinel.js';
import { Scene } from '../support/scene.js';

/** Of all leases here, and so the length of a grace, in milliseconds. */
const TTL = 1_000;

/** The first kills the master, the second freezes it, and so on. */
const FAILOVERS = 4;

/** How much of the grants the replicas have not heard of when the master goes, in milliseconds. */
const LAG = 300;

/** Long enough to be renewed, and asserted anew, in milliseconds. */
const LONG_STAY = 2_000;

const LONG_KEYS = ['long 1', 'long 2', 'long 3', 'long 4', 'long 5', 'long 6'];

describe('Sentinel names another master', () => {
  describe('again and again', () => {
    const scene = new Scene();

    afterAll(() => scene.end());

    /** What 4 processes of 20 callers see of many failovers, each to a replica that lags behind. */
    async function visitsThroughFailovers(
      settings: Partial<RedisBackendOptions>,
      server: readonly string[],
    ): Promise<{ visits: Visit[]; failovers: number[] }> {
      const set = await RedisSentinels.start(server);
      scene.also(() => set.stop());
      const resource = await scene.redis();
      const redis = { options: set.options(), ...settings } as RedisBackendOptions;
      const workers = await Promise.all(
        Array.from({ length: 4 }, () =>
          scene.worker(resource.url, { locks: { redis }, nest: false }),
        ),
      );
      const options = { ttl: TTL, wait: 20_000 };
      const histories = workers.flatMap((worker) => [
        worker.call('visit', 'short', 8, 5, options),
        ...LONG_KEYS.map((key) => worker.call('visit', key, 2, LONG_STAY, options)),
      ]);

      const failovers: number[] = [];
      for (let failover = 0; failover < FAILOVERS; failover++) {
        const master = await set.master();
        const replicas = set.nodes.filter((node) => node !== master);
        for (const replica of replicas) replica.freeze();
        await sleep(LAG);
        const kill = failover % 2 === 0;
        if (kill) await master.kill();
        else master.freeze();
        for (const replica of replicas) replica.thaw();
        await set.failedOver(master);
        failovers.push(machineTime());
        await comesBack(set, master, kill);
        // All of a grace, and some work after it.
        await sleep(TTL + 300);
      }
      await Promise.all(workers.map((worker) => worker.call('goHome')));
      return { visits: (await Promise.all(histories)).flat(), failovers };
    }

    it('with failoverGrace and min-replicas-to-write: no two holders, no token out of order', async () => {
      const { visits, failovers } = await visitsThroughFailovers({ failoverGrace: 'on' }, [
        ...['--min-replicas-to-write', '1'],
        ...['--min-replicas-max-lag', '1'],
      ]);
      expect(violations(visits)).toEqual([]);
      expect(served(visits, failovers)).toBe(FAILOVERS);
      expect(visits.length).toBeGreaterThan(50 * FAILOVERS);
    }, 150_000);
  });

  describe('of one set', () => {
    const scene = new Scene();
    /** At rest whenever a test ends. */
    let set: RedisSentinels;

    beforeAll(async () => {
      set = await RedisSentinels.start();
      scene.also(() => set.stop());
    });

    afterAll(() => scene.end());

    it('though the first sentinel that is asked never answers, the next one is', async () => {
      const mute = createServer().listen(0, '127.0.0.1');
      await once(mute, 'listening');
      scene.also(() => void mute.close());
      const { port } = mute.address() as AddressInfo;
      const sentinels = [{ host: '127.0.0.1', port }, ...set.sentinels];
      const options = { sentinels, name: set.name };
      const service = scene.service(new RedisBackend({ options, commandTimeout: 500 }));
      await service.withLock('k', ({ held }) => {
        expect(held).toBe(true);
      });
    });

    it.each([
      { guard: 'without failoverGrace', failoverGrace: 'off', ttl: 10_000, beside: 2 },
      { guard: 'with it', failoverGrace: 'on', ttl: 2_000, beside: 0 },
    ] as const)(
      'a lock that no replica had heard of, $guard: granted beside its holder in $beside of 2 failovers',
      async ({ failoverGrace, ttl, beside }) => {
        const redis = { options: set.options(), failoverGrace };
        const [holder, other] = [new RedisBackend(redis), new RedisBackend(redis)].map((backend) =>
          scene.service(backend, { ttl }),
        );
        const visits: Visit[] = [];
        for (const kill of [true, false]) {
          const key = `lost ${visits.length}`;
          for (const one of [holder, other]) await one!.withLock('warm up', () => undefined);
          const master = await set.master();
          await set.cutReplicas(master);
          const first = await entered(holder!.acquire(key));
          if (kill) await master.kill();
          else master.freeze();
          await set.failedOver(master);
          const granted = entered(other!.acquire(key, { wait: 20_000 }));
          // Longer than a grace, and than a waiter needs to find the lock free.
          await Promise.race([granted, sleep(2_000 + 1_500)]);
          visits.push(visit(key, first, machineTime(), first.lock.held));
          await first.lock.release();
          const second = await granted;
          visits.push(visit(key, second));
          expect(second.token).toBeGreaterThan(first.token);
          await second.lock.release();
          await comesBack(set, master, kill);
        }
        expect(overlaps(visits)).toBe(beside);
      },
    );
  });
});

async function comesBack(set: RedisSentinels, node: RedisNode, killed: boolean): Promise<void> {
  if (killed) await set.relaunch(node);
  else node.thaw();
  await set.letReplicas(node);
  await set.settled();
}

/** How many of the failovers were followed by a new grant of each key before the next one. */
function served(visits: readonly Visit[], failovers: readonly number[]): number {
  return failovers.filter((at, index) => {
    const until = failovers[index + 1] ?? Infinity;
    return visits.some(({ key, enter }) => key === 'short' && enter > at && enter < until);
  }).length;
}
