import type { LockService } from 'nestjs-lock';
import { LockBackendError, LockTimeoutError } from 'nestjs-lock';
import { setTimeout as sleep } from 'node:timers/promises';
import { entered, type Visit, violations, visit } from '../support/history.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';

const RACES = 2_000;
const AT_ONCE = 250;

/** Time for all to queue, and the time within which they race, in milliseconds. */
const [QUEUEING, SPAN] = [150, 40];

/** Less than a ttl: a leaked grant would keep the last in the queue for longer. */
const PATIENCE = 20_000;

describe('giving up and being granted at the same time', () => {
  const scene = new Scene();
  const history: Visit[] = [];
  const outcomes = { granted: 0, aborted: 0, timedOut: 0 };

  afterAll(() => scene.end());

  /** The holder releases while the next one gives up; whoever waits behind it must be served. */
  async function race(key: string, [holder, next, last]: LockService[]): Promise<void> {
    const first = await entered(holder!.acquire(key));
    const leaving = new AbortController();
    const reason = new Error('left');
    const byTimeout = Math.random() < 0.3;
    const wait = byTimeout ? QUEUEING + Math.ceil(SPAN * Math.random()) : 60_000;
    const second = entered(next!.acquire(key, { wait, signal: leaving.signal })).then(
      async (granted) => {
        outcomes.granted++;
        expect(granted.lock.held).toBe(true);
        const stay = visit(key, granted);
        history.push(stay);
        expect(await granted.lock.release()).toBe('released');
      },
      (error: unknown) => {
        if (error === reason) outcomes.aborted++;
        // On a machine that is too busy to answer in this time it is the other kind.
        else if (error instanceof LockTimeoutError || error instanceof LockBackendError)
          outcomes.timedOut++;
        else throw error;
      },
    );
    const third = entered(last!.acquire(key, { wait: PATIENCE }));

    await sleep(QUEUEING + SPAN * Math.random());
    history.push(visit(key, first));
    await Promise.all([
      first.lock.release(),
      byTimeout
        ? undefined
        : sleep(4 * Math.random()).then(() => {
            leaving.abort(reason);
          }),
      second,
      third.then((granted) => {
        history.push(visit(key, granted));
        return granted.lock.release();
      }),
    ]);
  }

  it(`leaks no grant in ${RACES} races`, async () => {
    const server = await scene.redis();
    const services = [server.url, server.url, server.url].map((url) => scene.service(url));
    await Promise.all(services.map((service) => service.withLock('warm up', () => undefined)));
    for (let from = 0; from < RACES; from += AT_ONCE) {
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, index) => race(`race ${from + index}`, services)),
      );
    }

    // Every side won often enough for the races to mean something.
    expect(outcomes.granted + outcomes.aborted + outcomes.timedOut).toBe(RACES);
    expect(outcomes.granted).toBeGreaterThan(RACES / 100);
    expect(outcomes.aborted).toBeGreaterThan(RACES / 100);
    expect(outcomes.timedOut).toBeGreaterThan(RACES / 100);
    expect(history).toHaveLength(2 * RACES + outcomes.granted);
    expect(violations(history)).toEqual([]);
    // Nothing but the sequence stands at the server: every key is free.
    await new RedisView(scene.client(server.url)).idle();
    const stranger = scene.service(server.url);
    for (let key = 0; key < RACES; key += 37) {
      const lock = await stranger.tryAcquire(`race ${key}`);
      expect(lock?.held).toBe(true);
      await lock?.release();
    }
  });
});
