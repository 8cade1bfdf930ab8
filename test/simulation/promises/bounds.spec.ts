// How long each way to ask takes at most when servers do not answer, in simulated time.
import type { LockService } from '../../../lib/index.js';
import { type Actor, atLeast, atMost, openBackstage, type End, Stage } from '../stage.js';
import type { TopologyName } from '../topologies.js';

/** How long `tryAcquire` and a release let a backend hang, in milliseconds. */
const ATTEMPT = 2_000;

/** For how long a service that is closed tries to give back what it has, in milliseconds. */
const LEAVING = 4_000;

/** For how long servers do not answer, in milliseconds. */
const SILENCE = 10_000;

type Call = (service: LockService, key: string) => Promise<unknown>;

const calls: [what: string, call: Call, bound: number, least?: number][] = [
  ['the first caller', (locks, key) => locks.acquire(key, { wait: 500 }), 500],
  ['the second in line', (locks, key) => locks.acquire(key, { wait: 500 }), 500],
  ['a body', (locks, key) => locks.withLock(key, { wait: 700 }, () => 'ran'), 700],
  ['one attempt', (locks, key) => locks.tryAcquire(key), ATTEMPT],
  ['no wait', (locks, key) => locks.acquire(key, { wait: 0 }), ATTEMPT],
  ['another key', (locks, key) => locks.acquire(`${key} too`, { wait: 3_500 }), 3_500],
  // A tenth is kept for giving back those that it got.
  ['several keys', (locks, key) => locks.acquire([key, `${key} too`], { wait: 900 }), 900, 810],
];

type Befall = (stage: Stage, actors: readonly Actor[]) => void;

const silences: [what: string, befall: Befall][] = [
  [
    'stand still',
    (stage) => {
      stage.freeze(SILENCE);
    },
  ],
  [
    'are not heard',
    (stage, actors) => {
      for (const actor of actors) stage.lose(actor, 'replies', SILENCE);
    },
  ],
  [
    'cannot be reached any more',
    (stage, actors) => {
      for (const actor of actors) {
        stage.lose(actor, 'requests', SILENCE);
        stage.lose(actor, 'replies', SILENCE);
        stage.break(actor);
      }
    },
  ],
];

describe.each<TopologyName>(['redis', 'redlock of 3', 'etcd', 'etcd of 3'])('on %s', (topology) => {
  const backstage = openBackstage();
  let stage: Stage;

  beforeEach(async () => {
    stage = await Stage.open(topology, backstage);
  });

  afterEach(() => stage.close());

  afterAll(() => {
    backstage.close();
  });

  describe.each(silences)('whose servers %s', (_, befall) => {
    it('every way to ask ends in time, and all is well afterwards', async () => {
      // One that is connected, and one that never was.
      const actors = [await stage.warm(), stage.actor()];
      const end = stage.now + SILENCE;
      befall(stage, actors);
      for (const { service } of actors) {
        const ends = await stage.until(
          Promise.all(calls.map(([, call]) => stage.end(call(service, 'k')))),
        );
        for (const [index, [what, , bound, least]] of calls.entries()) {
          expectBounded(what, ends[index]!, 'LockBackendError', bound, least);
        }
      }
      // What reaches a server later is void, or is taken back.
      await stage.pass(end + 5_000 - stage.now);
      for (const { service } of actors) {
        for (const key of ['k', 'k too']) {
          const lock = await stage.until(service.acquire(key, { wait: 0 }));
          expect(lock.held).toBe(true);
          await stage.until(lock.release());
        }
      }
      await stage.close();
      expect(await stage.store.left()).toEqual([]);
    });

    it('a release is waited for as long as one attempt, and tried on', async () => {
      const [holder, other] = [await stage.warm(), await stage.warm()];
      const lock = await stage.acquire(holder, 'k', { ttl: '1m' });
      const end = stage.now + SILENCE;
      befall(stage, [holder]);
      let outcome: unknown;
      const took = await stage.timed(lock.release().then((value) => (outcome = value)));
      expect(took).toBeLessThanOrEqual(atMost(ATTEMPT));
      expect(outcome).toBe('unconfirmed');
      // Long before its ttl is over.
      await stage.pass(end - stage.now);
      expect(await stage.timed(other.service.acquire('k'))).toBeLessThan(5_000);
    });

    it('a service that holds and waits is closed in time', async () => {
      const [holder, waiter] = [await stage.warm({ shutdownGrace: 300 }), await stage.warm()];
      await stage.acquire(holder, 'k', { ttl: '1m' });
      const waiting = stage.end(waiter.service.acquire('k', { wait: Infinity }));
      await stage.pass(100);
      befall(stage, [holder, waiter]);
      expect(await stage.timed(waiter.service.close())).toBeLessThanOrEqual(atMost(LEAVING));
      expect(await stage.until(waiting)).toMatchObject({ outcome: 'LockShutdownError' });
      const closed = await stage.timed(holder.service.close());
      expect(closed).toBeLessThanOrEqual(atMost(300 + LEAVING));
    });

    it('who waits already is told in time', async () => {
      const [holder, waiter] = [await stage.warm({ shutdownGrace: 300 }), await stage.warm()];
      await stage.acquire(holder, 'k', { ttl: '1m' });
      const waiting = stage.end(waiter.service.acquire('k', { wait: 4_000 }));
      await stage.pass(100);
      befall(stage, [holder, waiter]);
      expectBounded('who waits', await stage.until(waiting), 'LockBackendError', 4_000);
    });
  });

  it.each([0, 1_500, 30_000])('a busy lock is waited for for exactly %i ms', async (wait) => {
    const [holder, waiter] = [await stage.warm(), await stage.warm()];
    await stage.acquire(holder, 'k');
    const end = stage.end(waiter.service.acquire('k', { wait }));
    expectBounded('who waits', await stage.until(end), 'LockTimeoutError', wait);
  });
});

function expectBounded(
  what: string,
  { outcome, took }: End,
  name: string,
  bound: number,
  least = bound,
): void {
  expect({ what, outcome }).toEqual({ what, outcome: name });
  expect(took).toBeLessThanOrEqual(atMost(bound));
  expect(took).toBeGreaterThanOrEqual(atLeast(least) - 1);
}
