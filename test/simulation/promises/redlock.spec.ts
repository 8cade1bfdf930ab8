// What docs/guarantees.md promises of a quorum some of whose nodes do not answer, in simulated time.
import { type Actor, atMost, openBackstage, Stage } from '../stage.js';

/** How long a node is waited for, and what is between two tries of a request, in milliseconds. */
const [PATIENCE, LONGEST_PAUSE] = [1_000, 250];

/** More than a lock costs where nothing is waited for, in milliseconds. */
const QUICK = 10;

describe('on redlock of 3', () => {
  const backstage = openBackstage();
  let stage: Stage;

  beforeEach(async () => {
    stage = await Stage.open('redlock of 3', backstage);
  });

  afterEach(() => stage.close());

  afterAll(() => {
    backstage.close();
  });

  const nodes = (count: number) => stage.store.nodes.slice(-count);

  /** Takes a lock and gives it back, again and again. */
  async function work({ service }: Actor, times: number): Promise<number[]> {
    const took: number[] = [];
    for (let turn = 0; turn < times; turn++) {
      const start = stage.now;
      await service.withLock('k', (lock) => {
        expect(lock.held).toBe(true);
      });
      took.push(stage.now - start);
    }
    return took;
  }

  describe.each<[string, (actors: readonly Actor[]) => void]>([
    [
      'stands still',
      () => {
        stage.freeze(60_000, nodes(1));
      },
    ],
    [
      'is not heard',
      (actors) => {
        for (const actor of actors) stage.lose(actor, 'replies', 60_000, nodes(1));
      },
    ],
    [
      'does not hear',
      (actors) => {
        for (const actor of actors) stage.lose(actor, 'requests', 60_000, nodes(1));
      },
    ],
  ])('of which one %s', (_, befall) => {
    it('all goes on: a silent node is waited for once', async () => {
      const actors = [await stage.warm(), await stage.warm(), stage.actor()];
      befall(actors);
      const start = stage.now;
      const took = await stage.until(Promise.all(actors.map((actor) => work(actor, 10))));
      expect(stage.now - start).toBeLessThanOrEqual(atMost(PATIENCE) + 3 * QUICK);
      for (const turns of took) expect(Math.max(...turns.slice(1))).toBeLessThan(QUICK);
      const later = stage.now;
      await stage.until(work(actors[0]!, 10));
      expect(stage.now - later).toBeLessThanOrEqual(10 * QUICK);
    });
  });

  it.each([2, 3])(
    'of which %i stand still: errors come within `wait`, and their return mends it',
    async (count) => {
      const [holder, other] = [await stage.warm(), await stage.warm()];
      const lock = await stage.acquire(holder, 'held', { ttl: 3_000 });
      let lostAt = Infinity;
      lock.signal.addEventListener('abort', () => (lostAt = stage.now));
      const frozen = stage.now;
      stage.freeze(10_000, nodes(count));
      const end = stage.end(other.service.acquire('k', { wait: 1_500 }));
      const { outcome, took } = await stage.until(end);
      expect(outcome).toBe('LockBackendError');
      expect(took).toBeLessThanOrEqual(atMost(1_500));
      const waiting = other.service.acquire('k', { wait: '1m' });
      await stage.pass(3_000);
      expect(lostAt - frozen).toBeLessThanOrEqual(atMost(3_000));
      expect(lock.held).toBe(false);
      await stage.until(waiting);
      expect(stage.now - frozen).toBeGreaterThan(10_000);
      expect(stage.now - frozen).toBeLessThanOrEqual(10_000 + atMost(LONGEST_PAUSE));
    },
  );

  it('of which one stands still: a holder goes on', async () => {
    const lock = await stage.acquire(await stage.warm(), 'held', { ttl: 3_000 });
    stage.freeze(10_000, nodes(1));
    await stage.pass(10_000);
    expect(lock).toMatchObject({ held: true, signal: { aborted: false } });
  });

  it('that answers after the ttl: an error, never a lock that is over', async () => {
    const { service } = await stage.warm();
    stage.network.latency = 200;
    const given = service.acquire('k', { ttl: 300, wait: 5_000 });
    await expect(stage.until(given)).rejects.toThrow(/longer than the ttl/);
    await expect(stage.until(service.tryAcquire('k', { ttl: 300 }))).rejects.toThrow(
      /longer than the ttl/,
    );
    stage.network.latency = 0;
    await stage.pass(2_000);
    expect(await stage.store.left()).toEqual([]);
    expect(await stage.until(service.tryAcquire('k', { ttl: 300 }))).not.toBeNull();
  });
});
