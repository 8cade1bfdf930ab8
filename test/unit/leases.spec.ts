import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import {
  type Answer,
  type Grant,
  Instant,
  LockBackendError,
  LockError,
  type LockOptions,
  LockShutdownError,
  LockService,
  LockTimeoutError,
} from 'nestjs-lock';
import type { LockHandle } from '../../lib/lock/lock-handle.js';
import { never, pending, ScriptedBackend } from '../support/scripted-backend.js';

const TTL = 30_000;
const REFUSED = new Error('connection refused');
const WAITING: Answer = { state: 'waiting', granted: never };

let backend: ScriptedBackend;
let locks: LockService;
let warn: jest.Spied<Logger['warn']>;

beforeEach(() => {
  warn = jest.spyOn(Logger.prototype, 'warn').mockReturnValue(undefined);
  // Time stands still unless the test lets it pass; turns of the event loop go on.
  jest.useFakeTimers({
    doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'],
  });
  backend = new ScriptedBackend();
  locks = new LockService({ backend, ttl: TTL, shutdownGrace: 0 });
});

afterEach(async () => {
  backend.release = () => Promise.resolve(true);
  backend.cancel = () => Promise.resolve();
  const closing = locks.close();
  await pass(5_000);
  await closing;
  warn.mockRestore();
  jest.useRealTimers();
  // An unhandled rejection fails the test that is running: let it come to light here.
  await new Promise(setImmediate);
});

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

/** How a request ends: with what, and after how many milliseconds. */
function endOf(request: Promise<unknown>): { after?: number; error?: unknown; value?: unknown } {
  const start = performance.now();
  const end: ReturnType<typeof endOf> = {};
  request.then(
    (value) => Object.assign(end, { after: performance.now() - start, value }),
    (error: unknown) => Object.assign(end, { after: performance.now() - start, error }),
  );
  return end;
}

/** What collects garbage, as nothing is told of when that happens by itself. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** The ids of the requests that were withdrawn or released. */
const givenBack = () => [...backend.asked.cancel, ...backend.asked.release].map(({ id }) => id);

describe('a caller that waits', () => {
  it('at a backend that hangs is told so when its wait is over', async () => {
    backend.acquire = () => never;
    const end = endOf(locks.acquire('k', { wait: 500 }));
    await pass(499);
    expect(end).toEqual({});
    await pass(1);
    expect(end).toMatchObject({ after: 500, error: { code: 'LOCK_BACKEND', key: 'k' } });
    expect(end.error).toBeInstanceOf(LockBackendError);
    expect(String(end.error)).toMatch(/scripted.*500 ms/);
    expect(backend.asked.cancel).toEqual(backend.asked.acquire);
  });

  it('for one attempt is not kept for ever by a backend that hangs', async () => {
    backend.acquire = () => never;
    const end = endOf(locks.acquire('k', { wait: 0 }));
    const tried = endOf(locks.tryAcquire('k'));
    await pass(2_000);
    expect(end).toMatchObject({ after: 2_000, error: { code: 'LOCK_BACKEND' } });
    expect(tried).toMatchObject({ after: 2_000, error: { code: 'LOCK_BACKEND' } });
    expect(backend.asked.cancel).toEqual(backend.asked.acquire);
  });

  it('and aborts leaves at once, also when the backend hangs on the withdrawal', async () => {
    backend.acquire = () => never;
    backend.cancel = () => never;
    const leaving = new AbortController();
    const end = endOf(locks.acquire('k', { signal: leaving.signal }));
    await pass(10);
    leaving.abort(REFUSED);
    await pass(0);
    expect(end).toEqual({ after: 10, error: REFUSED });
    expect(backend.asked.cancel).toHaveLength(1);
  });

  it('with a signal that is aborted asks nothing', async () => {
    await expect(locks.acquire('k', { signal: AbortSignal.abort(REFUSED) })).rejects.toBe(REFUSED);
    await expect(
      locks.withLock('k', { signal: AbortSignal.abort() }, () => 'ran'),
    ).rejects.toMatchObject({ name: 'AbortError' });
    expect(backend.calls).toBe(0);
  });

  it('for ever has no time limit', async () => {
    const turn = pending<Grant>();
    backend.acquire = () => Promise.resolve({ state: 'waiting', granted: turn.promise });
    const end = endOf(locks.acquire('k', { wait: Infinity }));
    await pass(10 * 365 * 24 * 3_600_000);
    expect(end).toEqual({});
    turn.resolve(backend.grant({ ttl: TTL }));
    await pass(0);
    expect(end.value).toMatchObject({ held: true });
  });

  it('listens to its signal no longer than it waits', async () => {
    const { signal } = new AbortController();
    const add = jest.spyOn(signal, 'addEventListener');
    const remove = jest.spyOn(signal, 'removeEventListener');
    await locks.acquire('k', { signal });
    backend.acquire = () => Promise.resolve({ state: 'busy' });
    await expect(locks.acquire('other', { signal })).rejects.toThrow(LockTimeoutError);
    expect(add).toHaveBeenCalledTimes(2);
    expect(remove).toHaveBeenCalledTimes(2);
  });

  it('may have a signal that is not of Node, as in jsdom', async () => {
    class Foreign {
      aborted = false;
      reason: unknown;
      #listener: () => void = () => undefined;
      throwIfAborted(): void {
        if (this.aborted) throw this.reason as Error;
      }
      addEventListener(_type: string, listener: () => void): void {
        this.#listener = listener;
      }
      removeEventListener(): void {
        this.#listener = () => undefined;
      }
      abort(reason: Error): void {
        [this.aborted, this.reason] = [true, reason];
        this.#listener();
      }
    }
    const native = globalThis.AbortSignal;
    globalThis.AbortSignal = Foreign as unknown as typeof AbortSignal;
    try {
      backend.acquire = () => Promise.resolve(WAITING);
      const signal = new Foreign();
      const end = endOf(locks.acquire('k', { signal: signal as unknown as AbortSignal }));
      await pass(1);
      expect(end).toEqual({});
      signal.abort(new TypeError('enough'));
      await pass(1);
      expect(end.error).toMatchObject({ message: 'enough' });
    } finally {
      globalThis.AbortSignal = native;
    }
  });

  it('leaves no timer behind, however it ends', async () => {
    const before = jest.getTimerCount();
    const leaving = new AbortController();
    backend.acquire = ({ key }) => {
      if (key === 'granted') return Promise.resolve(backend.grant({ ttl: TTL }));
      if (key === 'refused') return Promise.reject(REFUSED);
      return key === 'busy' ? Promise.resolve({ state: 'busy' }) : Promise.resolve(WAITING);
    };
    const ends = ['granted', 'refused', 'busy', 'timeout', 'aborted'].map((key) =>
      endOf(
        locks
          .acquire(key, {
            wait: key === 'timeout' ? 50 : 10_000,
            signal: leaving.signal,
            renew: false,
          })
          .then((lock) => lock.release()),
      ),
    );
    await pass(100);
    leaving.abort();
    await pass(0);
    expect(ends.every(({ after }) => after !== undefined)).toBe(true);
    expect(jest.getTimerCount()).toBe(before);
  });
});

describe('a grant that nobody wants any more', () => {
  it('is given back when it comes as the late answer of an aborted request', async () => {
    const answer = pending<Answer>();
    backend.acquire = () => answer.promise;
    const leaving = new AbortController();
    const end = endOf(locks.acquire('k', { signal: leaving.signal }));
    await pass(10);
    leaving.abort(REFUSED);
    await pass(0);
    expect(end.error).toBe(REFUSED);
    const before = givenBack().length;
    answer.resolve(backend.grant({ ttl: TTL }));
    await pass(0);
    expect(givenBack().slice(before)).toEqual([backend.asked.acquire[0]!.id]);
    await pass(TTL);
    expect(backend.asked.renew).toEqual([]);
  });

  it('is given back when it comes as a hand-off to who has timed out', async () => {
    const turn = pending<Grant>();
    backend.acquire = () => Promise.resolve({ state: 'waiting', granted: turn.promise });
    const end = endOf(locks.acquire('k', { wait: 100 }));
    await pass(100);
    expect(end.error).toBeInstanceOf(LockTimeoutError);
    const { id } = backend.asked.acquire[0]!;
    expect(givenBack()).toEqual([id]);
    turn.resolve(backend.grant({ ttl: TTL }));
    await pass(0);
    expect(givenBack()).toEqual([id, id]);
    await pass(TTL);
    expect(backend.asked.renew).toEqual([]);
  });

  it('is given back when it comes after "waiting" to who had left before that', async () => {
    const answer = pending<Answer>();
    backend.acquire = () => answer.promise;
    const end = endOf(locks.acquire('k', { wait: 100 }));
    await pass(100);
    expect(end.error).toBeInstanceOf(LockBackendError);
    const before = givenBack().length;
    answer.resolve({ state: 'waiting', granted: Promise.resolve(backend.grant({ ttl: TTL })) });
    await pass(0);
    expect(givenBack().slice(before)).toEqual([backend.asked.acquire[0]!.id]);
  });

  it('may also be refused, and nobody notices', async () => {
    const turn = pending<Grant>();
    backend.acquire = () => Promise.resolve({ state: 'waiting', granted: turn.promise });
    const end = endOf(locks.acquire('k', { wait: 100 }));
    await pass(100);
    turn.reject(REFUSED);
    backend.release = () => Promise.reject(REFUSED);
    backend.cancel = () => Promise.reject(REFUSED);
    await pass(0);
    expect(end.error).toBeInstanceOf(LockTimeoutError);
  });
});

describe('busy, or the backend is down', () => {
  it('busy, when the backend says so', async () => {
    backend.acquire = () => Promise.resolve({ state: 'busy' });
    await expect(locks.acquire('k', { wait: 0 })).rejects.toBeInstanceOf(LockTimeoutError);
    await expect(locks.tryAcquire('k')).resolves.toBeNull();
    expect(backend.asked.cancel).toEqual([]);
  });

  it('busy, when the time is over in the queue', async () => {
    backend.acquire = () => Promise.resolve(WAITING);
    const end = endOf(locks.acquire('k', { wait: 500 }));
    await pass(500);
    expect(end).toMatchObject({ after: 500, error: { code: 'LOCK_TIMEOUT', wait: 500 } });
  });

  it('down, when it became unreachable while the caller stood in the queue', async () => {
    backend.acquire = () => Promise.resolve(WAITING);
    const end = endOf(locks.acquire('k', { wait: 500 }));
    await pass(100);
    backend.trouble = REFUSED;
    await pass(400);
    expect(end).toMatchObject({ after: 500, error: { code: 'LOCK_BACKEND', cause: REFUSED } });
    expect(String(end.error)).toContain('connection refused');
  });

  it('busy, when it was unreachable and is not any more', async () => {
    backend.acquire = () => Promise.resolve(WAITING);
    const end = endOf(locks.acquire('k', { wait: 500 }));
    await pass(100);
    backend.trouble = REFUSED;
    await pass(100);
    backend.trouble = undefined;
    await pass(300);
    expect(end.error).toBeInstanceOf(LockTimeoutError);
  });

  it('down, at once, when the backend refuses for good', async () => {
    backend.acquire = () => Promise.reject(REFUSED);
    for (const wait of [0, 500, Infinity]) {
      const end = endOf(locks.acquire('k', { wait }));
      await pass(0);
      expect(end).toMatchObject({
        after: 0,
        error: { code: 'LOCK_BACKEND', key: 'k', cause: REFUSED },
      });
      expect(String(end.error)).toMatch(/scripted.*connection refused/);
    }
    await expect(locks.tryAcquire('k')).rejects.toBeInstanceOf(LockBackendError);
  });

  it('down, with the words of the backend, when it knows some', async () => {
    const known = new LockBackendError('Redis: OOM (raise maxmemory)');
    backend.acquire = () => Promise.reject(known);
    const end = endOf(locks.acquire('k'));
    await pass(0);
    expect(end.error).toMatchObject({ code: 'LOCK_BACKEND', key: 'k' });
    expect(String(end.error)).toContain('raise maxmemory');
  });

  it('down, when it refuses who stands in the queue', async () => {
    const turn = pending<Grant>();
    backend.acquire = () => Promise.resolve({ state: 'waiting', granted: turn.promise });
    const end = endOf(locks.acquire('k'));
    await pass(100);
    turn.reject(REFUSED);
    await pass(0);
    expect(end).toMatchObject({ after: 100, error: { code: 'LOCK_BACKEND', cause: REFUSED } });
  });

  describe('for who stands behind another caller of this process', () => {
    it('busy, when that one stands in the queue', async () => {
      backend.acquire = () => Promise.resolve(WAITING);
      void endOf(locks.acquire('k', { wait: 5_000 }));
      await pass(100);
      const second = endOf(locks.acquire('k', { wait: 500 }));
      await pass(500);
      expect(second).toMatchObject({ after: 500, error: { code: 'LOCK_TIMEOUT' } });
    });

    it('down, when that one has no answer', async () => {
      backend.acquire = () => never;
      void endOf(locks.acquire('k', { wait: 5_000 }));
      const second = endOf(locks.acquire('k', { wait: 500 }));
      await pass(500);
      expect(second).toMatchObject({ after: 500, error: { code: 'LOCK_BACKEND' } });
    });

    it('down, when the backend became unreachable after it said so', async () => {
      backend.acquire = () => Promise.resolve(WAITING);
      void endOf(locks.acquire('k', { wait: 5_000 }));
      await pass(100);
      backend.trouble = REFUSED;
      const second = endOf(locks.acquire('k', { wait: 500 }));
      await pass(500);
      expect(second).toMatchObject({ error: { code: 'LOCK_BACKEND', cause: REFUSED } });
    });

    it('busy, when its own turn to ask came just before its end', async () => {
      const slowly = (answer: Answer) =>
        new Promise<Answer>((resolve) => setTimeout(() => resolve(answer), 20));
      backend.acquire = () => slowly(WAITING);
      const first = endOf(locks.acquire('k', { wait: 500 }));
      await pass(100);
      const second = endOf(locks.acquire('k', { wait: 410 }));
      await pass(410);
      expect(first).toMatchObject({ after: 500, error: { code: 'LOCK_TIMEOUT' } });
      expect(second).toMatchObject({ after: 410, error: { code: 'LOCK_TIMEOUT' } });
    });
  });
});

describe('the line of callers of one process', () => {
  it('has one request at the backend, and asks again for the next', async () => {
    const turns = [pending<Grant>(), pending<Grant>(), pending<Grant>()];
    backend.acquire = () =>
      Promise.resolve({
        state: 'waiting',
        granted: turns[backend.asked.acquire.length - 1]!.promise,
      });
    const ends = [1, 2, 3].map(() => endOf(locks.acquire('k')));
    await pass(10);
    expect(backend.asked.acquire).toHaveLength(1);
    turns[0]!.resolve(backend.grant({ ttl: TTL }));
    await pass(0);
    expect(ends.map(({ value }) => value !== undefined)).toEqual([true, false, false]);
    expect(backend.asked.acquire).toHaveLength(2);
    expect(new Set(backend.asked.acquire.map(({ id }) => id)).size).toBe(2);
    turns[1]!.resolve(backend.grant({ ttl: TTL }));
    turns[2]!.resolve(backend.grant({ ttl: TTL }));
    await pass(0);
    expect(ends.every(({ value }) => value !== undefined)).toBe(true);
  });

  it('costs the backend nothing when one in the middle leaves', async () => {
    backend.acquire = () => Promise.resolve(WAITING);
    void endOf(locks.acquire('k'));
    const second = endOf(locks.acquire('k', { wait: 100 }));
    await pass(100);
    expect(second.error).toBeInstanceOf(LockTimeoutError);
    expect([backend.asked.acquire.length, backend.asked.cancel.length]).toEqual([1, 0]);
  });

  it('moves up when the first leaves', async () => {
    backend.acquire = () => Promise.resolve(WAITING);
    void endOf(locks.acquire('k', { wait: 100 }));
    const second = endOf(locks.acquire('k'));
    await pass(100);
    expect([backend.asked.acquire.length, backend.asked.cancel.length]).toEqual([2, 1]);
    expect(backend.asked.cancel[0]).toEqual(backend.asked.acquire[0]);
    expect(second).toEqual({});
  });

  it('moves up when the first is refused', async () => {
    backend.acquire = () => Promise.reject(REFUSED);
    const ends = [1, 2, 3].map(() => endOf(locks.acquire('k')));
    await pass(0);
    expect(ends.every(({ error }) => error instanceof LockBackendError)).toBe(true);
  });

  it('is one for each key', async () => {
    backend.acquire = () => Promise.resolve(WAITING);
    void endOf(locks.acquire('a'));
    void endOf(locks.acquire('b'));
    await pass(0);
    expect(backend.asked.acquire.map(({ key }) => key)).toEqual(['a', 'b']);
  });

  it('is not joined by who makes one attempt', async () => {
    backend.acquire = ({ queue }) => Promise.resolve(queue ? WAITING : { state: 'busy' });
    void endOf(locks.acquire('k'));
    await expect(locks.tryAcquire('k')).resolves.toBeNull();
    expect(backend.asked.acquire.map(({ queue }) => queue)).toEqual([true, false]);
  });
});

describe('giving back', () => {
  it('is tried until it is answered', async () => {
    const lock = await locks.acquire('k');
    const answers = [() => Promise.reject(REFUSED), () => Promise.reject(REFUSED)];
    backend.release = () => (answers.shift() ?? (() => Promise.resolve(true)))();
    const end = endOf(lock.release());
    await pass(1_000);
    expect(end.value).toBe('released');
    expect(backend.asked.release).toHaveLength(3);
    expect(lock.signal.aborted).toBe(false);
  });

  it('is taken for done when only its first answer was lost', async () => {
    const lock = await locks.acquire('k');
    const answers = [() => Promise.reject(REFUSED), () => Promise.resolve(false)];
    backend.release = () => answers.shift()!();
    const end = endOf(lock.release());
    await pass(1_000);
    expect(end.value).toBe('released');
    expect(lock.signal.aborted).toBe(false);
  });

  it('is not waited for longer than two seconds', async () => {
    backend.release = () => never;
    const end = endOf(locks.withLock('k', () => Promise.resolve('result')));
    await pass(1_999);
    expect(end).toEqual({});
    await pass(1);
    expect(end).toEqual({ after: 2_000, value: 'result' });
  });

  it('says that it is unconfirmed when the backend does not answer, and goes on until the ttl is over', async () => {
    const lock = await locks.acquire('k', { ttl: 5_000 });
    backend.release = () => Promise.reject(REFUSED);
    const end = endOf(lock.release());
    await pass(2_000);
    expect(end).toEqual({ after: 2_000, value: 'unconfirmed' });
    expect(warn).toHaveBeenCalledTimes(1);
    expect(warn.mock.calls[0]).toEqual([expect.stringMatching(/"k".*scripted.*5000 ms/)]);
    const { length } = backend.asked.release;
    await pass(3_000);
    expect(backend.asked.release.length).toBeGreaterThan(length + 10);
    const last = backend.asked.release.length;
    await pass(10_000);
    expect(backend.asked.release.length).toBeLessThanOrEqual(last + 1);
  });

  it('says that it was stolen when the backend says that it was not ours', async () => {
    backend.release = () => Promise.resolve(false);
    const lock = await locks.acquire('k');
    const { signal } = lock;
    await expect(lock.release()).resolves.toBe('stolen');
    expect(signal.reason).toMatchObject({ code: 'LOCK_LOST', reason: 'stolen' });
    await expect(locks.withLock('k', () => 'result')).rejects.toMatchObject({ reason: 'stolen' });
  });

  it.each([
    ['fails', () => Promise.reject(REFUSED)],
    ['hangs', () => never],
    ['finds it gone', () => Promise.resolve(false)],
  ])('never hides the error of the body, also when it %s', async (_, release) => {
    backend.release = release;
    const own = new Error('of the body');
    const end = endOf(locks.withLock('k', { ttl: 1_000 }, () => Promise.reject(own)));
    await pass(2_000);
    expect(end.error).toBe(own);
  });

  it('of a lost lock is not waited for', async () => {
    const lock = await locks.acquire('k', { ttl: 1_000, renew: false });
    await pass(1_000);
    backend.release = () => never;
    await expect(lock.release()).resolves.toBe('expired');
    expect(backend.asked.release).toHaveLength(1);
  });

  it('of an inner entry does not reach the backend', async () => {
    await locks.withLock('k', async () => {
      await locks.withLock('k', { reentrant: true }, () => undefined);
      expect(backend.asked.release).toEqual([]);
    });
    expect(backend.asked.release).toHaveLength(1);
    expect(backend.asked.acquire).toHaveLength(1);
  });
});

describe('closing', () => {
  it('is bounded by the grace time and two seconds, whatever the backend does', async () => {
    const own = new LockService({ backend, shutdownGrace: 1_000 });
    await own.acquire('held');
    backend.acquire = () => never;
    const waiter = endOf(own.acquire('waiting'));
    backend.release = () => never;
    backend.cancel = () => never;
    backend.renew = () => never;
    const end = endOf(own.close());
    await pass(0);
    expect(waiter.error).toBeInstanceOf(LockShutdownError);
    await pass(3_000);
    expect(end.after).toBeLessThanOrEqual(3_000);
  });

  it('ends the grace time when the last holder is done', async () => {
    const own = new LockService({ backend, shutdownGrace: '1h' });
    const lock = await own.acquire('k');
    const end = endOf(own.close());
    await pass(100);
    expect([lock.held, lock.signal.aborted, end]).toEqual([true, true, {}]);
    await lock.release();
    await pass(0);
    expect(end.after).toBe(100);
  });

  it('keeps renewing what is held through the grace time', async () => {
    const own = new LockService({ backend, shutdownGrace: '1h', ttl: 3_000 });
    const lock = await own.acquire('k');
    const end = endOf(own.close());
    await pass(30_000);
    expect(lock.held).toBe(true);
    expect(backend.asked.renew.length).toBeGreaterThanOrEqual(28);
    await lock.release();
    await pass(0);
    expect(end.after).toBe(30_000);
  });

  it('does not grant what was asked before and is answered in the grace time', async () => {
    const answer = pending<Answer>();
    const own = new LockService({ backend, shutdownGrace: 1_000 });
    await own.acquire('held');
    backend.acquire = () => answer.promise;
    const waiter = endOf(own.acquire('k'));
    const end = endOf(own.close());
    await pass(10);
    const before = givenBack().length;
    answer.resolve(backend.grant({ ttl: TTL }));
    await pass(0);
    expect(waiter.error).toBeInstanceOf(LockShutdownError);
    expect(givenBack().slice(before)).toEqual([backend.asked.acquire[1]!.id]);
    await pass(1_000);
    expect(end.after).toBeDefined();
  });

  it('closes the connection once, however often it is asked for', async () => {
    await locks.acquire('k');
    const ends = [
      endOf(locks.beforeApplicationShutdown()),
      endOf(locks.onApplicationShutdown()),
      endOf(locks.close()),
    ];
    await pass(5_000);
    ends.push(endOf(locks.close()));
    await pass(0);
    expect(ends.every(({ after, error }) => after !== undefined && error === undefined)).toBe(true);
    expect(backend.asked.close).toHaveLength(1);
  });

  it('is the end: nothing is asked of the connection any more', async () => {
    const lock = await locks.acquire('k');
    const other = await locks.acquire('other', { maxHold: 100 });
    await pass(100);
    const closing = endOf(locks.close());
    await pass(5_000);
    expect(closing.after).toBeDefined();
    const { calls } = backend;

    await expect(lock.release()).resolves.toBe('shutdown');
    await expect(other.release()).resolves.toBe('maxHold');
    await expect(lock.renew()).rejects.toMatchObject({ code: 'LOCK_LOST' });
    await expect(locks.acquire('k')).rejects.toBeInstanceOf(LockShutdownError);
    await pass(TTL);
    expect(backend.calls).toBe(calls);
  });

  it('does not wait for holders who have lost their locks, and gives back what is left of these', async () => {
    const own = new LockService({ backend, ttl: TTL, shutdownGrace: 60_000 });
    await own.acquire('stolen');
    const id = backend.asked.acquire[0]?.id ?? '';
    await own.acquire('expired', { ttl: 100, renew: false });
    await own.acquire('held too long', { maxHold: 100 });
    backend.lose(id);
    await pass(100);
    const closing = endOf(own.close());
    await pass(0);
    expect(closing.after).toBe(0);
    expect(backend.asked.release.map(({ key }) => key)).toEqual(['held too long']);
  });

  it('stops waiting when the last holder loses its lock', async () => {
    const own = new LockService({ backend, ttl: TTL, shutdownGrace: 60_000 });
    const lock = await own.acquire('k', { ttl: 100, renew: false });
    const closing = endOf(own.close());
    await pass(50);
    expect([lock.held, closing.after]).toEqual([true, undefined]);
    await pass(50);
    expect(closing.after).toBeDefined();
  });

  it('is the end of looking too', async () => {
    await locks.acquire('k');
    const closing = endOf(locks.close());
    await pass(5_000);
    expect(closing.after).toBeDefined();
    await expect(locks.inspect('k')).rejects.toBeInstanceOf(LockError);
    expect(backend.asked.inspect).toEqual([]);
  });

  it('gives back no grant to a connection that is closed', async () => {
    const answer = pending<Answer>();
    backend.acquire = () => answer.promise;
    const waiter = endOf(locks.acquire('k'));
    const closing = endOf(locks.close());
    await pass(5_000);
    expect(closing.after).toBeDefined();
    expect(waiter.error).toBeInstanceOf(LockShutdownError);
    const { calls } = backend;
    answer.resolve(backend.grant({ ttl: TTL }));
    await pass(TTL);
    expect(backend.calls).toBe(calls);
  });

  it('of a service that was never used does not connect', async () => {
    await locks.close();
    expect(backend.connections).toBe(0);
    await expect(locks.acquire('k')).rejects.toBeInstanceOf(LockShutdownError);
    await expect(locks.inspect('k')).rejects.toBeInstanceOf(LockError);
    expect(backend.connections).toBe(0);
  });

  it('leaves no timer behind', async () => {
    const before = jest.getTimerCount();
    const own = new LockService({ backend, shutdownGrace: 100 });
    await own.acquire('held');
    backend.acquire = () => Promise.resolve(WAITING);
    void endOf(own.acquire('waiting', { wait: Infinity }));
    void endOf(own.acquire('waiting', { wait: 10_000 }));
    await pass(10);
    const end = endOf(own.close());
    await pass(100);
    expect(end.after).toBeDefined();
    expect(jest.getTimerCount()).toBe(before);
  });
});

it('a backend may tell of leases while it connects', async () => {
  const connect = backend.connect.bind(backend);
  backend.connect = (process) => {
    process.lost('nobody:1');
    process.revoked('nobody:1', { reason: 'none', grace: 0 });
    return connect(process);
  };
  expect((await locks.acquire('k')).held).toBe(true);
});

describe('a downgrade', () => {
  it.each([['one key'], ['several']])(
    'of %s that was not answered asks again when it is asked again',
    async (which) => {
      const lock = await locks.acquire(which === 'several' ? ['a', 'k'] : 'k');
      let unanswered = 2;
      backend.downgrade = ({ key }) =>
        key === 'k' && unanswered-- > 0 ? Promise.reject(REFUSED) : Promise.resolve(true);
      await expect(lock.downgrade()).rejects.toBeInstanceOf(LockBackendError);
      await expect(lock.downgrade()).rejects.toBeInstanceOf(LockBackendError);
      await lock.downgrade();
      expect(lock.mode).toBe('shared');
      await lock.downgrade();
      const asked = backend.asked.downgrade.map(({ key }) => key);
      expect(asked.filter((key) => key === 'k')).toHaveLength(3);
      expect(asked.filter((key) => key === 'a')).toHaveLength(which === 'several' ? 1 : 0);
    },
  );
});

describe('a lock that is lost', () => {
  it('asks once for who is next, also when its holder gives it back as it hears of it', async () => {
    backend.acquire = (request) =>
      Promise.resolve({ ...backend.grant(request), reserve: 64 } as Answer);
    const lock = await locks.acquire('k', { maxHold: 5 });
    lock.signal.addEventListener('abort', () => void lock.release());
    jest.setSystemTime(Date.now() + 6);
    const next = await locks.acquire('k');
    expect(next.held).toBe(true);
    expect(backend.asked.acquire).toHaveLength(2);
  });

  it('and never given back is let go of', async () => {
    const collect = collector();
    const release = jest.spyOn(backend, 'release');
    const gone: WeakRef<object>[] = [];
    backend.acquire = (request) =>
      Promise.resolve({ ...backend.grant(request), reserve: 64 } as Answer);
    const take = async (key: string, terms: LockOptions) => {
      const lock = await locks.acquire(key, terms);
      gone.push(new WeakRef((lock as LockHandle).holding));
    };
    await take('expired', { ttl: 100, renew: false });
    await take('held too long', { ttl: 100, maxHold: 50 });
    await pass(1_000);
    backend.asked.acquire.length = 0;
    await new Promise(setImmediate);
    collect();
    expect(gone.map((lock) => lock.deref())).toEqual([undefined, undefined]);
    expect(release).not.toHaveBeenCalled();
  });
});

describe('a request', () => {
  it('has an id of its process and of its own', async () => {
    const other = new LockService({ backend });
    await locks.acquire('a');
    await locks.acquire('b');
    await other.acquire('c');
    const ids = backend.asked.acquire.map(({ id }) => /^([^:]+):\d+$/.exec(id)!);
    expect(ids[0]![1]).toBe(ids[1]![1]);
    expect(ids[2]![1]).not.toBe(ids[0]![1]);
    expect(new Set(ids.map(([id]) => id)).size).toBe(3);
    const closing = other.close();
    await pass(20_000);
    await closing;
  });

  it('says all that the store must know, and nothing else', async () => {
    await locks.acquire('k', { ttl: '5s', wait: '1s', maxHold: '1h', renew: false });
    expect(backend.asked.acquire).toEqual([
      {
        id: expect.stringMatching(/:1$/) as string,
        key: 'k',
        ttl: 5_000,
        queue: true,
        reserve: 0,
        mode: 'exclusive',
        limit: 1,
      },
    ]);
  });

  it('that is answered by a grant of long ago is not believed', async () => {
    const old = Instant.now();
    await pass(TTL);
    backend.acquire = (request) => Promise.resolve(backend.grant(request, old));
    await expect(locks.acquire('k')).rejects.toBeInstanceOf(LockBackendError);
    expect(backend.asked.cancel).toHaveLength(1);
  });
});
