// What is promised of a server that is lost, or loses its memory, in simulated time.
import { atLeast, atMost, openBackstage, Stage } from '../stage.js';
import type { TopologyName } from '../topologies.js';

/** What is between two looks of who waits on Redis, in milliseconds. */
const HEARTBEAT = 1_250;

const TTL = 6_000;

describe('in simulated time', () => {
  const backstage = openBackstage();
  let stage: Stage;

  afterEach(() => stage.close());

  afterAll(() => {
    backstage.close();
  });

  /** One that holds, and one that waits. */
  async function scene(topology: TopologyName, seed: number) {
    stage = await Stage.open(topology, backstage, seed);
    const [holder, waiter] = [await stage.warm({ ttl: TTL }), await stage.warm({ ttl: TTL })];
    const lock = await stage.acquire(holder, 'k');
    let lostAt: number | undefined;
    lock.signal.addEventListener('abort', () => (lostAt = stage.now));
    const waiting = waiter.service.acquire('k', { wait: '1m' });
    waiting.catch(() => undefined);
    await stage.pass(1_000 + seed * 531);
    return { holder, waiter, lock, waiting, lostAt: () => lostAt };
  }

  it.each([1, 2, 3])('a Redis that restarts empty (%i)', async (seed) => {
    const { lock, waiting, lostAt } = await scene('redis that forgets', seed);
    await stage.store.mishaps['restarts without its memory']!();
    const restarted = stage.now;
    const took = await stage.timed(waiting);
    await stage.pass(TTL);
    expect(took).toBeLessThanOrEqual(atMost(HEARTBEAT));
    expect(lostAt()! - restarted).toBeLessThanOrEqual(atMost(TTL / 3 + HEARTBEAT));
    expect(await stage.until(lock.release())).toBe('stolen');
  });

  it.each([1, 2, 3])('a Redis that restarts empty, and is guarded (%i)', async (seed) => {
    const { lock, waiting, waiter } = await scene('redis that forgets, guarded', seed);
    await stage.store.mishaps['restarts without its memory']!();
    const took = await stage.timed(waiter.service.acquire('another', { wait: '1m' }));
    expect(took).toBeGreaterThanOrEqual(atLeast(TTL));
    expect(took).toBeLessThanOrEqual(atMost(TTL + HEARTBEAT));
    await stage.pass(2 * TTL);
    expect(lock).toMatchObject({ held: true, signal: { aborted: false } });
    expect(await stage.timed(Promise.all([lock.release(), waiting]))).toBeLessThanOrEqual(
      atMost(0),
    );
  });

  it('a guarded Redis that starts for the first time', async () => {
    stage = await Stage.open('redis that forgets, guarded', backstage);
    const first = await stage.timed(stage.actor().service.acquire('k'));
    const next = await stage.timed(stage.actor().service.acquire('k2'));
    expect(first).toBeGreaterThanOrEqual(atLeast(6_000));
    expect(first).toBeLessThanOrEqual(atMost(6_000 + HEARTBEAT));
    expect(next).toBeLessThanOrEqual(50);
    await stage.close();
    // Without the guard nothing is waited for.
    stage = await Stage.open('redis', backstage);
    expect(await stage.timed(stage.actor().service.acquire('k'))).toBeLessThanOrEqual(50);
  });

  it.each([1, 2, 3])('a Redis that fails over (%i)', async (seed) => {
    const { lock, waiting } = await scene('failover', seed);
    await stage.store.mishaps['fails over']!();
    await stage.pass(4_000);
    expect(lock).toMatchObject({ held: true });
    void lock.release();
    const took = await stage.timed(waiting);
    expect(took).toBeLessThanOrEqual(atMost(HEARTBEAT));
  });

  it.each([1, 2, 3])('an etcd that loses its leader (%i)', async (seed) => {
    const { lock, waiting } = await scene('etcd of 3', seed);
    await stage.store.mishaps['loses its leader']!();
    void lock.release();
    const took = await stage.timed(waiting);
    expect(took).toBeLessThanOrEqual(3_000 + 100);
  });

  it.each([1, 2, 3])('an etcd with a member that is behind (%i)', async (seed) => {
    const { lock, waiting } = await scene('etcd of 3', seed);
    await stage.store.mishaps['has a member that is behind']!();
    void lock.release();
    const took = await stage.timed(waiting);
    expect(took).toBeLessThanOrEqual(atMost(4_000));
  });
});
