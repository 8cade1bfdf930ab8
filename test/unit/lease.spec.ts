import { jest } from '@jest/globals';
import {
  type Grant,
  Instant,
  type Lock,
  LockBackendError,
  LockLostError,
  LockService,
} from 'nestjs-lock';
import { never, pending, ScriptedBackend } from '../support/scripted-backend.js';

const TTL = 3_000;
/** For so long after it was asked for, a lease of TTL may be believed in. */
const VALID = TTL - TTL / 100;
const REFUSED = new Error('connection refused');

let backend: ScriptedBackend;
let locks: LockService;

beforeEach(() => {
  // Time stands still unless the test lets it pass; turns of the event loop go on.
  jest.useFakeTimers({
    doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'],
  });
  backend = new ScriptedBackend();
  locks = new LockService({ backend, ttl: TTL, shutdownGrace: 0 });
});

afterEach(async () => {
  const closing = locks.close();
  await pass(5_000);
  await closing;
  jest.useRealTimers();
  // An unhandled rejection fails the test that is running: let it come to light here.
  await new Promise(setImmediate);
});

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

/** As `pass`, but timers of the same millisecond fire in the same turn, as they do in life. */
async function passTogether(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed++) {
    jest.advanceTimersByTime(1);
    await new Promise(setImmediate);
  }
}

/** When the signal was aborted, in milliseconds from now. */
function abortOf(lock: Lock): { readonly after: number | undefined } {
  const start = performance.now();
  const seen: { after: number | undefined } = { after: undefined };
  lock.signal.addEventListener('abort', () => (seen.after = performance.now() - start));
  return seen;
}

function expectLost(lock: Lock, reason: string): void {
  expect([lock.held, lock.remaining, lock.signal.aborted]).toEqual([false, 0, true]);
  expect(lock.signal.reason).toBeInstanceOf(LockLostError);
  expect(lock.signal.reason).toMatchObject({ reason, key: lock.key });
}

describe('what the backend says of single leases', () => {
  it('an error for one of those renewed together loses no time for the others', async () => {
    const [lock, beside] = [await locks.acquire('k'), await locks.acquire('beside')];
    backend.renew = (leases) =>
      Promise.resolve(leases.map(({ key }) => (key === 'beside' ? true : REFUSED)));
    const lost = abortOf(lock);
    await passTogether(2 * TTL);
    expect(lost.after).toBe(VALID);
    expectLost(lock, 'backend');
    expect(lock.signal.reason).toMatchObject({ cause: REFUSED });
    expect(beside).toMatchObject({ held: true, signal: { aborted: false } });
  });

  it('that it ended is told to the holder at once, and to nobody else', async () => {
    const [lock, beside] = [await locks.acquire('k'), await locks.acquire('beside')];
    const lost = abortOf(lock);
    await pass(10);
    backend.lose(backend.asked.acquire[0]!.id);
    expect(lost.after).toBe(10);
    expectLost(lock, 'stolen');
    expect(beside.held).toBe(true);
    expect(await lock.release()).toBe('stolen');

    backend.lose(backend.asked.acquire[0]!.id);
    expect(await beside.release()).toBe('released');
    backend.lose(backend.asked.acquire[1]!.id);
    expect(beside.signal.aborted).toBe(false);
  });

  it('carries its token with each renewal', async () => {
    const lock = await locks.acquire('k');
    await lock.renew();
    const { id } = backend.asked.acquire[0]!;
    const renewal = {
      id,
      key: 'k',
      token: lock.fencingToken,
      ttl: TTL,
      mode: 'exclusive',
      limit: 1,
    };
    expect(backend.asked.renew).toEqual([[renewal]]);
  });

  it('has a guard only where the store gives one, and only while it is held', async () => {
    const guard = ['key at the store', 'Create', '==', 7] as const;
    backend.acquire = (request) => Promise.resolve({ ...backend.grant(request), guard });
    const lock = await locks.acquire('k');
    expect(lock.guard()).toEqual(guard);
    backend.lose(backend.asked.acquire[0]!.id);
    expect(() => lock.guard()).toThrow(LockLostError);

    backend.acquire = (request) => Promise.resolve(backend.grant(request));
    const without = await locks.acquire('without');
    expect(() => without.guard()).toThrow(/"without" has no guard\(\)/);
  });
});

describe('validity', () => {
  it.each([
    [50, 48],
    [100, 98],
    [3_000, 2_970],
    [60_000, 59_400],
  ])(
    'of a ttl of %i ms ends after %i ms, before the lease does at the store',
    async (ttl, valid) => {
      const lock = await locks.acquire('k', { ttl, renew: false });
      const abort = abortOf(lock);
      await pass(valid - 1);
      expect([lock.held, lock.remaining]).toEqual([true, 1]);
      await pass(1);
      expect(abort.after).toBe(valid);
      expectLost(lock, 'expired');
    },
  );

  it('begins before the request was sent, however long its answer takes', async () => {
    backend.acquire = async (request) => {
      const sent = Instant.now();
      await pass(1_000);
      return backend.grant(request, sent);
    };
    const lock = await locks.acquire('k', { renew: false });
    expect(lock.remaining).toBe(VALID - 1_000);
  });

  it.each([
    ['after its ttl', TTL],
    ['when only the margin is left', VALID],
  ])('of a grant that comes %s is none: the request is withdrawn', async (_, delay) => {
    const late = pending<Grant>();
    backend.acquire = () => late.promise;
    const refused = locks.acquire('k').catch((error: unknown) => error);
    const sent = Instant.now();
    await pass(delay);
    late.resolve(backend.grant({ ttl: TTL }, sent));
    const error = await refused;
    expect(error).toBeInstanceOf(LockBackendError);
    expect(String(error)).toContain('took longer than the ttl of 3000 ms');
    expect(backend.asked.cancel).toEqual(backend.asked.acquire);
    await pass(10 * TTL);
    expect(backend.asked.renew).toEqual([]);
  });

  it('may be asked for in any way after a release, and is none', async () => {
    const lock = await locks.acquire('k');
    await lock.release();
    expect([lock.held, lock.remaining, lock.signal.aborted]).toEqual([false, 0, false]);
    expect(() => lock.assertHeld()).toThrow('was released');
    await pass(10 * TTL);
    expect(lock.signal.aborted).toBe(false);
  });
});

describe('renewal', () => {
  it.each([50, 3_000])('of a ttl of %i ms comes three times a ttl', async (ttl) => {
    const lock = await locks.acquire('k', { ttl });
    const abort = abortOf(lock);
    await pass(100 * ttl);
    expect(abort.after).toBeUndefined();
    expect(lock.held).toBe(true);
    expect(backend.asked.renew.length).toBeGreaterThanOrEqual(290);
    expect(backend.asked.renew.length).toBeLessThanOrEqual(340);
    expect(backend.asked.renew[0]).toMatchObject([
      { id: backend.asked.acquire[0]!.id, key: 'k', ttl },
    ]);
  });

  it('gives the whole validity from before it was sent', async () => {
    const lock = await locks.acquire('k');
    backend.renew = async () => {
      await pass(700);
      return [true];
    };
    await lock.renew();
    expect(lock.remaining).toBe(VALID - 700);
  });

  it.each([undefined, 20 * TTL])(
    'of many leases of a maxHold of %s is one call',
    async (maxHold) => {
      for (let n = 0; n < 100; n++) {
        await locks.acquire(`k${n}`, { maxHold });
        await passTogether(1);
      }
      await passTogether(10 * TTL);
      // Each lease about thirty times; together in at most two groups, as their start straddles a beat.
      expect(backend.asked.renew.length).toBeLessThanOrEqual(2 * 34);
      const leases = backend.asked.renew.flat();
      expect(leases.length).toBeGreaterThanOrEqual(100 * 28);
      expect(new Set(leases.map(({ key }) => key)).size).toBe(100);
    },
  );

  it('of very many leases is some calls of bounded size', async () => {
    await Promise.all(Array.from({ length: 1_200 }, (_, n) => locks.acquire(`k${n}`)));
    await passTogether(TTL / 3 + 1);
    expect(backend.asked.renew.map(({ length }) => length)).toEqual([500, 500, 200]);
  });

  it('of the few that are left of very many is one call again', async () => {
    const all = await Promise.all(Array.from({ length: 1_200 }, (_, n) => locks.acquire(`k${n}`)));
    await Promise.all(all.filter((_, n) => n % 100 !== 0).map((lock) => lock.release()));
    await passTogether(2 * (TTL / 3 + 1));
    expect(backend.asked.renew.map(({ length }) => length)).toEqual([12, 12]);
  });

  it('that is not answered loses a lock on time whose last renewal was answered late', async () => {
    const late = pending<boolean[]>();
    const lock = await locks.acquire('k');
    const abort = abortOf(lock);
    backend.renew = () => late.promise;
    await passTogether(TTL / 3 + 1);
    backend.renew = () => never;
    await passTogether(TTL / 2);
    late.resolve([true]);
    await passTogether(TTL);
    expect(abort.after).toBe(TTL / 3 + VALID);
  });

  it('answers each lease by its place', async () => {
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((key) => locks.acquire(key)));
    backend.renew = (leases) => Promise.resolve(leases.map(({ key }) => key !== 'a'));
    await passTogether(TTL / 3 + 1);
    expect(backend.asked.renew).toHaveLength(1);
    expect([a!.held, b!.held, c!.held]).toEqual([false, true, true]);
  });

  it('that is not answered is waited for, for a third of the ttl, before the next is sent', async () => {
    backend.renew = () => never;
    const lock = await locks.acquire('k');
    const sent: number[] = [];
    const start = performance.now();
    backend.renew = () => {
      sent.push(performance.now() - start);
      return never;
    };
    await pass(VALID - 1);
    expect(lock.held).toBe(true);
    expect(sent).toHaveLength(2);
    expect(sent[1]! - sent[0]!).toBeGreaterThanOrEqual(TTL / 3);
  });

  it('that fails once is tried again, and nobody notices', async () => {
    const lock = await locks.acquire('k');
    const abort = abortOf(lock);
    const answer = backend.renew;
    backend.renew = () => {
      backend.renew = answer;
      return Promise.reject(REFUSED);
    };
    await pass(20 * TTL);
    expect([lock.held, abort.after]).toEqual([true, undefined]);
    expect(lock.remaining).toBeGreaterThan(TTL / 2);
  });

  it('that fails is tried again soon, but not in a hot loop', async () => {
    await locks.acquire('k');
    backend.renew = () => Promise.reject(REFUSED);
    await pass(VALID);
    // 2/3 of the ttl, with pauses of 75 to 225 ms.
    expect(backend.asked.renew.length).toBeGreaterThanOrEqual(8);
    expect(backend.asked.renew.length).toBeLessThanOrEqual(30);
  });

  it('that fails until the end of the validity loses the lock, before it ends at the store', async () => {
    const lock = await locks.acquire('k');
    const abort = abortOf(lock);
    backend.renew = () => Promise.reject(REFUSED);
    await pass(VALID - 1);
    expect([lock.held, abort.after]).toEqual([true, undefined]);
    await pass(1);
    expect(abort.after).toBe(VALID);
    expectLost(lock, 'backend');
    expect((lock.signal.reason as Error).cause).toBe(REFUSED);
    const { length } = backend.asked.renew;
    await pass(10 * TTL);
    expect(backend.asked.renew).toHaveLength(length);
  });

  it('that hangs until the end of the validity loses the lock as well', async () => {
    const lock = await locks.acquire('k');
    const abort = abortOf(lock);
    backend.renew = () => never;
    await pass(TTL);
    expect(abort.after).toBe(VALID);
    expectLost(lock, 'backend');
  });

  it('counts from the last one that was answered', async () => {
    const lock = await locks.acquire('k');
    const abort = abortOf(lock);
    let last = 0;
    const start = performance.now();
    backend.renew = () => {
      if (backend.asked.renew.length > 5) return Promise.reject(REFUSED);
      last = performance.now() - start;
      return Promise.resolve([true]);
    };
    await pass(5 * TTL);
    expect(abort.after).toBeGreaterThan(TTL);
    expect(Math.abs(abort.after! - last - VALID)).toBeLessThanOrEqual(1);
  });

  it('that is answered after the end does not bring the lock back', async () => {
    const late = pending<boolean[]>();
    const lock = await locks.acquire('k');
    backend.renew = () => late.promise;
    await pass(VALID);
    expectLost(lock, 'backend');
    const reason: unknown = lock.signal.reason;
    const { length } = backend.asked.renew;
    late.resolve([true]);
    await pass(10 * TTL);
    expect([lock.held, lock.remaining]).toEqual([false, 0]);
    expect(lock.signal.reason).toBe(reason);
    expect(backend.asked.renew).toHaveLength(length);
  });

  it('that is answered after the end, before any timer could look, does not either', async () => {
    const late = pending<boolean[]>();
    const lock = await locks.acquire('k');
    const abort = abortOf(lock);
    backend.renew = () => late.promise;
    await pass(TTL / 2);
    // The event loop is blocked: the reply is read before any timer fires.
    const now = performance.now();
    const blocked = jest.spyOn(performance, 'now').mockImplementation(() => now + TTL);
    late.resolve([true]);
    await new Promise(setImmediate);
    expect(abort.after).toBeDefined();
    blocked.mockRestore();
    expectLost(lock, 'backend');
  });

  it('that is answered late does not take from what a later one gave', async () => {
    const slow = pending<boolean[]>();
    const answer = backend.renew;
    const lock = await locks.acquire('k');
    const abort = abortOf(lock);
    backend.renew = () => {
      backend.renew = answer;
      return slow.promise;
    };
    await pass(TTL / 3 + 1); // the slow one is sent
    await pass(TTL / 3 + 1); // and the next, which is answered at once
    expect(backend.asked.renew).toHaveLength(2);
    backend.renew = () => never;
    const { remaining } = lock;
    slow.resolve([true]);
    await pass(0);
    expect(lock.remaining).toBe(remaining);
    await pass(remaining - 1);
    expect([lock.held, abort.after]).toEqual([true, undefined]);
  });

  it('that says "not yours" loses the lock at once', async () => {
    const lock = await locks.acquire('k');
    const abort = abortOf(lock);
    backend.renew = () => Promise.resolve([false]);
    await pass(TTL / 3 + 1);
    expect(abort.after).toBeLessThanOrEqual(TTL / 3 + 1);
    expectLost(lock, 'stolen');
    await pass(10 * TTL);
    expect(backend.asked.renew).toHaveLength(1);
  });

  it('that is answered after the release changes nothing', async () => {
    const late = [pending<boolean[]>(), pending<boolean[]>()];
    for (const { promise } of late) {
      backend.renew = () => promise;
      const lock = await locks.acquire('k');
      await pass(TTL / 3 + 1);
      await expect(lock.release()).resolves.toBe('released');
    }
    late[0]!.resolve([false]);
    late[1]!.reject(REFUSED);
    const { length } = backend.asked.renew;
    await pass(10 * TTL);
    expect(backend.asked.renew).toHaveLength(length);
  });

  it('ends with the release', async () => {
    const lock = await locks.acquire('k');
    await pass(2 * TTL);
    const { length } = backend.asked.renew;
    await lock.release();
    await pass(10 * TTL);
    expect(backend.asked.renew).toHaveLength(length);
  });

  it('ends with maxHold, which loses the lock on time', async () => {
    const lock = await locks.acquire('k', { maxHold: 2.5 * TTL });
    const abort = abortOf(lock);
    await pass(2.5 * TTL - 1);
    expect([lock.held, lock.remaining]).toEqual([true, 1]);
    await pass(1);
    expect(abort.after).toBe(2.5 * TTL);
    expectLost(lock, 'maxHold');
    const { length } = backend.asked.renew;
    await pass(10 * TTL);
    expect(backend.asked.renew).toHaveLength(length);
    // Its body still runs: it may end before the store gives the lock to another.
    expect(backend.asked.release).toEqual([]);
    await expect(lock.release()).resolves.toBe('maxHold');
    expect(backend.asked.release).toHaveLength(1);
  });

  it('does not come without being wanted', async () => {
    const lock = await locks.acquire('k', { renew: false });
    await pass(10 * TTL);
    expect(backend.asked.renew).toEqual([]);
    expectLost(lock, 'expired');
  });
});

describe('a lease that was handed over', () => {
  const CLAIM = 500;
  const handOver = () => {
    backend.acquire = (request) =>
      Promise.resolve({
        state: 'waiting',
        granted: Promise.resolve(backend.grant({ ...request, ttl: CLAIM })),
      });
  };

  it('is valid for its claim, and is renewed to its ttl at once', async () => {
    handOver();
    const answer = pending<boolean[]>();
    backend.renew = () => answer.promise;
    const lock = await locks.acquire('k');
    expect(backend.asked.renew).toMatchObject([[{ key: 'k', ttl: TTL }]]);
    expect(lock.remaining).toBe(CLAIM - CLAIM / 100);
    answer.resolve([true]);
    await pass(0);
    expect(lock.remaining).toBe(VALID);
  });

  it('is renewed once, also when it is not to be renewed further', async () => {
    handOver();
    const lock = await locks.acquire('k', { renew: false });
    await pass(0);
    expect(lock.remaining).toBe(VALID);
    await pass(10 * TTL);
    expect(backend.asked.renew).toHaveLength(1);
    expectLost(lock, 'expired');
  });

  it('is lost when its claim ends and the store does not answer', async () => {
    handOver();
    backend.renew = () => never;
    const lock = await locks.acquire('k');
    const abort = abortOf(lock);
    await pass(CLAIM);
    expect(abort.after).toBe(CLAIM - CLAIM / 100);
    expectLost(lock, 'backend');
  });

  it('is kept when the store answers before its claim ends, at the second try', async () => {
    handOver();
    const answer = backend.renew;
    backend.renew = () => {
      backend.renew = answer;
      return Promise.reject(REFUSED);
    };
    const lock = await locks.acquire('k');
    await pass(CLAIM);
    expect([lock.held, lock.signal.aborted]).toEqual([true, false]);
    expect(lock.remaining).toBeGreaterThan(CLAIM);
  });

  it('is lost when the store gave it to another meanwhile', async () => {
    handOver();
    backend.renew = () => Promise.resolve([false]);
    const lock = await locks.acquire('k');
    await pass(0);
    expectLost(lock, 'stolen');
  });
});

describe('renew()', () => {
  it('is answered after the store was', async () => {
    const lock = await locks.acquire('k');
    await pass(500);
    await lock.renew();
    expect(backend.asked.renew).toMatchObject([[{ ttl: TTL }]]);
    expect(lock.remaining).toBe(VALID);
  });

  it('with another ttl sets it for all further ones', async () => {
    const lock = await locks.acquire('k');
    await lock.renew('30s');
    expect(lock.remaining).toBe(29_700);
    await pass(20_000);
    expect(backend.asked.renew.map(([lease]) => lease!.ttl)).toEqual([30_000, 30_000, 30_000]);
    expect(lock.remaining).toBeGreaterThan(29_700 - 10_000);
  });

  it('rejects when the store does not answer, and the lock is kept', async () => {
    const lock = await locks.acquire('k');
    const answer = backend.renew;
    backend.renew = () => Promise.reject(REFUSED);
    const error = await lock.renew().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(LockBackendError);
    expect(error).toMatchObject({ key: 'k', cause: REFUSED });
    expect([lock.held, lock.signal.aborted]).toEqual([true, false]);
    backend.renew = answer;
    await pass(10 * TTL);
    expect(lock.held).toBe(true);
  });

  it('believes in a longer ttl only when the store has confirmed it', async () => {
    const lock = await locks.acquire('k');
    backend.renew = () => Promise.reject(REFUSED);
    await expect(lock.renew(10 * TTL)).rejects.toThrow(LockBackendError);
    expect(lock.remaining).toBe(VALID);
    const abort = abortOf(lock);
    await pass(TTL);
    expect(abort.after).toBe(VALID);
  });

  it('with a shorter ttl takes nothing away, as the store does not', async () => {
    const lock = await locks.acquire('k');
    await lock.renew(300);
    expect(lock.remaining).toBe(VALID);
    expect(backend.asked.renew).toMatchObject([[{ ttl: 300 }]]);
    backend.renew = () => Promise.reject(REFUSED);
    const abort = abortOf(lock);
    await pass(TTL);
    expect(abort.after).toBe(VALID);
    expectLost(lock, 'backend');
  });

  it('that finds the lock gone loses it', async () => {
    const lock = await locks.acquire('k');
    backend.renew = () => Promise.resolve([false]);
    const error = await lock.renew().catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'LOCK_LOST', reason: 'stolen' });
    expectLost(lock, 'stolen');
  });

  it('after the end is refused, and asks nothing of the store', async () => {
    const lock = await locks.acquire('k', { renew: false });
    await pass(TTL);
    await expect(lock.renew()).rejects.toMatchObject({ reason: 'expired' });
    const released = await locks.acquire('other');
    await released.release();
    await expect(released.renew()).rejects.toMatchObject({ reason: 'released' });
    expect(backend.asked.renew).toEqual([]);
  });

  it('leaves a lock that does not renew itself as it is', async () => {
    const lock = await locks.acquire('k', { renew: false });
    await pass(1_000);
    await lock.renew();
    await pass(VALID - 1);
    expect(lock.held).toBe(true);
    await pass(1);
    expectLost(lock, 'expired');
    expect(backend.asked.renew).toHaveLength(1);
  });
});
