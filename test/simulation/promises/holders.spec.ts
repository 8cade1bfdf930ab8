// What docs/guarantees.md promises of holders, in simulated time: to the millisecond, on a machine that is as busy as may be.
import type { Lock } from '../../../lib/index.js';
import { atLeast, atMost, openBackstage, Stage } from '../stage.js';
import type { TopologyName } from '../topologies.js';

const TTL = 3_000;

const SEEDS = [1, 2, 3];

describe.each<[TopologyName, number]>([
  ['redis', 0],
  ['failover', 0],
  ['cluster of 3', 0],
  ['redlock of 3', 0],
  // Its leader looks twice a second for leases that have ended.
  ['etcd', 500],
  ['etcd of 3', 500],
])('on %s', (topology, late) => {
  const backstage = openBackstage();
  let stage: Stage;

  afterEach(() => stage.close());

  afterAll(() => {
    backstage.close();
  });

  /** One that holds, and one that waits. */
  async function scene(seed: number) {
    stage = await Stage.open(topology, backstage, seed);
    const [holder, waiter] = [await stage.warm(), await stage.warm()];
    const lock = await stage.acquire(holder, 'k', { ttl: TTL });
    const waiting = waiter.service.acquire('k', { wait: '1m' });
    waiting.catch(() => undefined);
    await stage.pass(seed * 331);
    return { holder, waiter, lock, waiting };
  }

  /** How it is with the first when the second is let in. */
  async function handOver(lock: Lock, waiting: Promise<Lock>) {
    const start = stage.now;
    let lostAt: number | undefined;
    lock.signal.addEventListener('abort', () => (lostAt = stage.now));
    const seen = waiting.then(() => ({
      took: stage.now - start,
      // Nothing is awaited in between.
      held: lock.held,
      aborted: lock.signal.aborted,
    }));
    const second = await stage.until(waiting);
    expect(second.fencingToken).toBeGreaterThan(lock.fencingToken);
    return { ...(await seen), lostAt: lostAt === undefined ? undefined : lostAt - start };
  }

  it.each(SEEDS)('a crashed holder costs its ttl (%i)', async (seed) => {
    const { holder, waiting } = await scene(seed);
    stage.kill(holder);
    const took = await stage.timed(waiting);
    expect(took).toBeLessThanOrEqual(atMost(TTL + late));
    // It was renewed when a third was over.
    expect(took).toBeGreaterThan((2 / 3) * TTL - 10);
  });

  it.each(SEEDS)(
    'a paused holder costs its ttl, and knows at its first look (%i)',
    async (seed) => {
      const { holder, lock, waiting } = await scene(seed);
      holder.process.pause(3 * TTL);
      const { took, held, aborted } = await handOver(lock, waiting);
      expect(took).toBeLessThanOrEqual(atMost(TTL + late));
      expect({ held, aborted }).toEqual({ held: false, aborted: true });
      await stage.pass(3 * TTL);
      expect(await stage.until(lock.release())).toBe('expired');
    },
  );

  it.each(SEEDS)('a holder that is cut off is told before another is let in (%i)', async (seed) => {
    const { holder, lock, waiting } = await scene(seed);
    stage.lose(holder, 'requests', 3 * TTL);
    const { took, held, aborted, lostAt } = await handOver(lock, waiting);
    expect(took).toBeLessThanOrEqual(atMost(TTL + late));
    expect({ held, aborted }).toEqual({ held: false, aborted: true });
    expect(lostAt).toBeLessThan(took);
    expect(lostAt).toBeLessThanOrEqual(atMost(TTL));
  });

  it('a renewal that is lost costs nothing', async () => {
    const { holder, lock } = await scene(1);
    stage.lose(holder, 'requests', TTL / 3);
    await stage.pass(3 * TTL);
    expect(lock).toMatchObject({ held: true, signal: { aborted: false } });
  });

  it('a lock that is not renewed ends with its ttl, and is given to who waits', async () => {
    stage = await Stage.open(topology, backstage);
    const [holder, waiter] = [await stage.warm(), await stage.warm()];
    const ttl = 2_200;
    const start = stage.now;
    await stage.acquire(holder, 'k', { ttl, renew: false });
    await stage.acquire(waiter, 'k');
    expect(stage.now - start).toBeGreaterThanOrEqual(atLeast(ttl));
    // That etcd knows only whole seconds makes no difference.
    expect(stage.now - start).toBeLessThanOrEqual(atMost(ttl + late));
  });

  it('a lock that is kept for a while is given to who waited as soon as that is over', async () => {
    stage = await Stage.open(topology, backstage);
    const [holder, waiter] = [await stage.warm(), await stage.warm()];
    const start = stage.now;
    const lock = await stage.acquire(holder, 'k', { minHold: 2_000 });
    const waiting = waiter.service.acquire('k', { wait: '1m' });
    await stage.pass(500);
    await stage.until(lock.release());
    await stage.until(waiting);
    expect(stage.now - start).toBeGreaterThanOrEqual(atLeast(2_000));
    expect(stage.now - start).toBeLessThanOrEqual(atMost(2_000));
  });
});
