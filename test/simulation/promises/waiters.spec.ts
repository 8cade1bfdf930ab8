// What docs/guarantees.md promises of those who wait, in simulated time.
import { atMost, type Actor, openBackstage, Stage } from '../stage.js';
import type { TopologyName } from '../topologies.js';

const SEEDS = [1, 2, 3];

/** What is between two looks of who waits on Redis, in milliseconds. */
const HEARTBEAT = 1_250;

const backstage = openBackstage();
let stage: Stage;

afterEach(() => stage.close());

afterAll(() => {
  backstage.close();
});

describe.each<[TopologyName, { claim: number; dead: number; lost: number }]>([
  ['redis', { claim: 2_000, dead: 3_500, lost: HEARTBEAT }],
  ['failover', { claim: 2_000, dead: 3_500, lost: HEARTBEAT }],
  ['cluster of 3', { claim: 2_000, dead: 3_500, lost: HEARTBEAT }],
  ['redlock of 3', { claim: 4_500, dead: 0, lost: HEARTBEAT }],
  ['etcd', { claim: 5_000, dead: 0, lost: 3_300 }],
  ['etcd of 3', { claim: 5_000, dead: 0, lost: 3_300 }],
])('on %s', (topology, { claim, dead, lost }) => {
  const open = async (seed: number) => {
    stage = await Stage.open(topology, backstage, seed);
  };

  /** It stands in the queue. */
  async function waits({ service }: Actor, key = 'k') {
    const waiting = service.acquire(key, { wait: '1m' });
    waiting.catch(() => undefined);
    await stage.pass(100);
    return { waiting };
  }

  it.each(SEEDS)('a lock is handed over at once (%i)', async (seed) => {
    await open(seed);
    const [holder, next] = [await stage.warm(), await stage.warm()];
    const lock = await stage.acquire(holder, 'k');
    const { waiting } = await waits(next);
    await stage.pass(seed * 1_371);
    expect(await stage.timed(Promise.all([lock.release(), waiting]))).toBeLessThanOrEqual(
      atMost(topology === 'redlock of 3' ? 10 : 3),
    );
  });

  it.each(SEEDS)(
    'a crashed waiter that was just handed the lock costs its claim (%i)',
    async (seed) => {
      await open(seed);
      // As after a machine that died.
      stage.network.unnoticed = 60_000;
      const [holder, dying, next] = [await stage.warm(), await stage.warm(), await stage.warm()];
      const lock = await stage.acquire(holder, 'k');
      await waits(dying);
      await stage.pass(seed * 331);
      const { waiting } = await waits(next);
      await stage.pass(seed * 531);
      stage.kill(dying);
      void lock.release();
      const took = await stage.timed(waiting);
      expect(took).toBeLessThanOrEqual(atMost(claim));
      // It was its turn.
      expect(took).toBeGreaterThan(1_000);
    },
  );

  it.each(SEEDS)('any number of dead waiters costs little together (%i)', async (seed) => {
    await open(seed);
    stage.network.unnoticed = 60_000;
    const holder = await stage.warm();
    const lock = await stage.acquire(holder, 'k');
    const dying: Actor[] = [];
    for (let n = 0; n < 5; n++) {
      const one = await stage.warm();
      dying.push(one);
      await waits(one);
    }
    const next = await stage.warm();
    const { waiting } = await waits(next);
    await stage.pass(seed * 531);
    for (const one of dying) stage.kill(one);
    void lock.release();
    // And the claim of the last one that did not count as dead.
    expect(await stage.timed(waiting)).toBeLessThanOrEqual(atMost(claim + dead));
  });

  it.each(SEEDS)('the message of a grant that is lost costs at most a look (%i)', async (seed) => {
    await open(seed);
    const [holder, next] = [await stage.warm(), await stage.warm()];
    const lock = await stage.acquire(holder, 'k');
    const { waiting } = await waits(next);
    await stage.pass(3_000 + seed * 171);
    stage.lose(next, 'replies', 5);
    void lock.release();
    const took = await stage.timed(waiting);
    expect(took).toBeLessThanOrEqual(atMost(lost));
    expect(took).toBeGreaterThan(5);
  });

  it.each(SEEDS)(
    'connections that break as a grant is told cost a new connection (%i)',
    async (seed) => {
      await open(seed);
      const [holder, next] = [await stage.warm(), await stage.warm()];
      const lock = await stage.acquire(holder, 'k');
      const { waiting } = await waits(next);
      await stage.pass(3_000 + seed * 171);
      stage.break(next);
      void lock.release();
      expect(await stage.timed(waiting)).toBeLessThanOrEqual(100);
    },
  );

  it('a paused waiter costs no more than one that died, and stands in the queue again', async () => {
    await open(1);
    const [holder, paused, next] = [await stage.warm(), await stage.warm(), await stage.warm()];
    const lock = await stage.acquire(holder, 'k');
    const { waiting: late } = await waits(paused);
    const { waiting } = await waits(next);
    paused.process.pause(10_000);
    void lock.release();
    expect(await stage.timed(waiting)).toBeLessThanOrEqual(atMost(claim));
    await stage.pass(12_000);
    const second = await waiting;
    expect(second.held).toBe(true);
    const [, third] = await stage.until(Promise.all([second.release(), late]));
    expect(third.held).toBe(true);
    expect(third.fencingToken).toBeGreaterThan(second.fencingToken);
  });

  it('a writer waits for the last of some readers that do not come back', async () => {
    await open(1);
    const [readers, writer] = [await stage.warm(), await stage.warm()];
    const start = stage.now;
    for (const ttl of [2_000, 4_000, 3_000]) {
      await stage.acquire(readers, 'k', { mode: 'shared', ttl, renew: false });
    }
    await stage.acquire(writer, 'k');
    expect(stage.now - start).toBeGreaterThan(3_960);
    expect(stage.now - start).toBeLessThanOrEqual(atMost(4_000) + 500);
  });
});

describe('1,000 callers of one process that wait', () => {
  it.each([
    ['for one key', 1],
    ['for a key each', 1_000],
  ])('%s cost at most 2 commands a second', async (_, count) => {
    stage = await Stage.open('redis', backstage);
    const [holder, waiter] = [await stage.warm(), await stage.warm()];
    const keys = Array.from({ length: count }, (_, index) => `k${index}`);
    const held = await stage.until(
      Promise.all(keys.map((key) => holder.service.acquire(key, { ttl: '10m' }))),
    );
    const leaving = new AbortController();
    const left = Array.from({ length: 1_000 }, (_, index) =>
      waiter.service
        .acquire(keys[index % count]!, { wait: Infinity, signal: leaving.signal })
        .catch((reason: unknown) => reason),
    );
    await stage.pass(1_000);
    const before = stage.commands;
    await stage.pass(10_000);
    const commands = stage.commands - before;
    expect(commands).toBeLessThanOrEqual(20);
    // They are kept alive.
    expect(commands).toBeGreaterThanOrEqual(8);
    const states = await stage.until(
      Promise.all(keys.slice(0, 10).map((key) => holder.service.inspect(key))),
    );
    for (const { waiters } of states) expect(waiters).toBe(1);

    leaving.abort('enough');
    expect(new Set(await stage.until(Promise.all(left)))).toEqual(new Set(['enough']));
    await stage.until(Promise.all(held.map((lock) => lock.release())));
  });
});
