import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisBackendOptions } from 'nestjs-lock/redis';
import { machineTime, overlaps, violations, type Visit } from '../support/history.js';
import type { RedisNode } from '../support/redis-nodes.js';
import { RedisSentinels } from '../support/redis-sentinel.js';
import { Scene } from '../support/scene.js';

/** Of all leases here, and so the length of a grace, in milliseconds. */
const TTL = 1_000;

/** How much of the grants the replicas have not heard of when the master goes, in milliseconds. */
const LAG = 300;

describe('Sentinel names another master', () => {
  const scene = new Scene();

  afterAll(() => scene.end(), 30_000);

  /** What 4 processes of 2 × 8 callers see of many failovers, each to a replica that lags behind. */
  async function visitsThroughFailovers(
    settings: Partial<RedisBackendOptions>,
    server: readonly string[],
    failoverCount: number,
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
      // Long enough to be renewed, and asserted anew.
      worker.call('visit', 'long', 8, 2 * TTL, options),
    ]);

    const failovers: number[] = [];
    for (let failover = 0; failover < failoverCount; failover++) {
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
      await sleep(TTL + 500);
    }
    await Promise.all(workers.map((worker) => worker.call('goHome')));
    return { visits: (await Promise.all(histories)).flat(), failovers };
  }

  async function comesBack(set: RedisSentinels, node: RedisNode, killed: boolean): Promise<void> {
    if (killed) await set.relaunch(node);
    else node.thaw();
    await set.settled();
  }

  /** How many of the failovers were followed by a new grant of each key before the next one. */
  function served(visits: readonly Visit[], failovers: readonly number[]): number {
    return failovers.filter((at, index) => {
      const until = failovers[index + 1] ?? Infinity;
      return visits.some(({ key, enter }) => key === 'short' && enter > at && enter < until);
    }).length;
  }

  it('with failoverGrace and min-replicas-to-write: no two holders, no token out of order', async () => {
    const { visits, failovers } = await visitsThroughFailovers(
      { failoverGrace: 'on' },
      [...['--min-replicas-to-write', '1'], ...['--min-replicas-max-lag', '1']],
      10,
    );
    expect(violations(visits)).toEqual([]);
    expect(served(visits, failovers)).toBe(10);
    expect(visits.length).toBeGreaterThan(500);
  }, 150_000);

  it('without: overlaps happen, and are counted; the greater token is always the later one', async () => {
    const { visits, failovers } = await visitsThroughFailovers({}, [], 6);
    const found = overlaps(visits);
    console.info(
      `without failoverGrace: ${found} overlaps of valid holders in 6 failovers, ` +
        `${visits.length} visits`,
    );
    expect(violations(visits).length - found).toBe(0);
    expect(served(visits, failovers)).toBe(6);
    // Else the case above would prove nothing.
    expect(found).toBeGreaterThan(0);
  }, 150_000);
});
