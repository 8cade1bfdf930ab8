import { jest } from '@jest/globals';
import { type Lock, LockLostError, LockService, LockTimeoutError } from 'nestjs-lock';
import { never, ScriptedBackend } from '../support/scripted-backend.js';

const TTL = 3_000;
/** For so long after its grant a lease is handed over within the process. */
const SPAN = 20;

let backend: ScriptedBackend;
let locks: LockService;

beforeEach(() => {
  jest.useFakeTimers({
    doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'],
  });
  backend = new ScriptedBackend();
  // As a store that reserves as many tokens as were asked for.
  let token = 0;
  backend.acquire = (request) => {
    const grant = { ...backend.grant(request), token: token + 1, reserve: request.reserve };
    token += 1 + request.reserve;
    return Promise.resolve(grant);
  };
  locks = new LockService({ backend, ttl: TTL, shutdownGrace: 0 });
});

afterEach(async () => {
  const closing = locks.close();
  await pass(5_000);
  await closing;
  jest.useRealTimers();
});

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

const asked = () => [backend.asked.acquire.length, backend.asked.release.length];

/**
 * The first of these holds a lease with tokens for all the others, who stand in line. As a caller asks
 * at once when there is nobody before it, another one stands before them until all are there.
 */
async function lineOf(count: number, ...options: object[]): Promise<[Lock, ...Promise<Lock>[]]> {
  const { acquire } = backend;
  const before = new AbortController();
  backend.acquire = () => never;
  const gone = locks.acquire('k', { signal: before.signal }).catch(() => undefined);
  const line = Array.from({ length: count }, (_, n) => locks.acquire('k', options[n]));
  for (const one of line) one.catch(() => undefined);
  backend.acquire = acquire;
  before.abort();
  backend.asked.acquire.length = 0;
  await gone;
  const first = await line[0]!;
  return [first, ...line.slice(1)];
}

describe('a lease is handed over to the next caller of the process', () => {
  it('in the order of arrival, each with a greater token, and the store is asked once', async () => {
    const [first, ...others] = await lineOf(4);
    const tokens = [first.fencingToken];
    let lock = first;
    for (const next of others) {
      expect(await lock.release()).toBe('released');
      lock = await next;
      tokens.push(lock.fencingToken);
      expect([lock.held, asked()]).toEqual([true, [0, 0]]);
    }
    expect(await lock.release()).toBe('released');
    expect(asked()).toEqual([0, 1]);
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
  });

  it('and is counted by the template of who has it', async () => {
    const [first, second] = await lineOf(2, { template: 'first' }, { template: 'second' });
    await first.release();
    await second;
    expect(locks.stats().holds).toEqual([{ template: 'second', mode: 'exclusive', count: 1 }]);
  });

  it('whose former holder holds it no more, and hears nothing of what becomes of it', async () => {
    const [first, second] = await lineOf(2);
    const { signal } = first;
    await first.release();
    const next = await second!;
    expect([first.held, first.remaining, next.held]).toEqual([false, 0, true]);
    await expect(first.renew()).rejects.toMatchObject({ reason: 'released' });
    backend.renew = (leases) => Promise.resolve(leases.map(() => false));
    await pass(TTL);
    expect([signal.aborted, next.signal.aborted]).toEqual([false, true]);
    expect(await first.release()).toBe('released');
    expect(await next.release()).toBe('stolen');
  });

  it('who is told when it is lost, as its renewals go on', async () => {
    const [first, second] = await lineOf(2);
    await first.release();
    const next = await second!;
    await pass(3 * TTL);
    expect(next.held).toBe(true);
    expect(backend.asked.renew.length).toBeGreaterThan(5);
    backend.renew = () => never;
    await pass(TTL);
    expect(next.signal.reason).toBeInstanceOf(LockLostError);
  });

  it('whose token is shown to who looks at the key', async () => {
    const [first, second] = await lineOf(2);
    backend.inspect = () =>
      Promise.resolve({
        holders: [
          { id: 'a:1', token: first.fencingToken, mode: 'exclusive', age: 0, remaining: TTL },
        ],
        waiters: 0,
        queue: [],
      });
    const shown = async () => (await locks.inspect('k')).holders[0]!.fencingToken;
    expect(await shown()).toBe(first.fencingToken);
    await first.release();
    expect(await shown()).toBe((await second!).fencingToken);
  });

  it('and maxHold counts for each from when it came', async () => {
    const [first, second] = await lineOf(2, { maxHold: 1_000 }, { maxHold: 1_000 });
    await pass(SPAN - 1);
    await first.release();
    const next = await second!;
    await pass(1_000 - 1);
    expect(next.held).toBe(true);
    await pass(1);
    expect(next.signal.reason).toMatchObject({ reason: 'maxHold' });
  });

  it('and not to who has gone', async () => {
    const gone = new AbortController();
    const [first, second, third] = await lineOf(3, {}, { signal: gone.signal });
    gone.abort(new Error('gone'));
    await expect(second).rejects.toThrow('gone');
    await first.release();
    expect((await third!).held).toBe(true);
    expect(asked()).toEqual([0, 0]);
  });
});

describe('a lease goes back to the store', () => {
  it('when its tokens are used up; who comes next asks for as many as wait behind', async () => {
    const [first, second] = await lineOf(2);
    const later = [1, 2, 3].map(() => locks.acquire('k'));
    await first.release();
    await (await second!).release();
    expect(asked()).toEqual([1, 1]);
    expect(backend.asked.acquire[0]).toMatchObject({ reserve: 2 });
    for (const next of later) await (await next).release();
    expect(asked()).toEqual([1, 2]);
  });

  it('when its time in the process is over, whoever waits here', async () => {
    const [first, second] = await lineOf(2);
    await pass(SPAN);
    expect(asked()).toEqual([1, 0]);
    await first.release();
    expect(asked()).toEqual([1, 1]);
    await (await second!).release();
  });

  it('and those who wait stand in its queue as soon as it may not be handed over', async () => {
    const [first, second] = await lineOf(2);
    const late = locks.acquire('k', { wait: 100 }).catch((error: unknown) => error);
    await pass(SPAN - 1);
    expect(asked()).toEqual([0, 0]);
    backend.acquire = () => Promise.resolve({ state: 'waiting', granted: never });
    await pass(1);
    expect(asked()).toEqual([1, 0]);
    await pass(100);
    expect(await late).toBeInstanceOf(LockTimeoutError);
    expect(await first.release()).toBe('released');
    second!.catch(() => undefined);
  });

  it.each([
    ['another ttl', { ttl: 2 * TTL }],
    ['a lease that is not renewed', { renew: false }],
  ])('when the next asks for %s', async (_, options) => {
    const [first, second] = await lineOf(2, {}, options);
    expect(asked()).toEqual([1, 0]);
    await first.release();
    expect(asked()).toEqual([1, 1]);
    await (await second!).release();
  });

  it('when the store did not answer its renewal', async () => {
    const [first, second] = await lineOf(2);
    backend.renew = () => Promise.reject(new Error('connection refused'));
    await expect(first.renew()).rejects.toMatchObject({ code: 'LOCK_BACKEND' });
    await first.release();
    expect(asked()).toEqual([1, 1]);
    await (await second!).release();
  });

  it('when it was lost, however long its holder goes on: the next asks anew at once', async () => {
    let id = '';
    const { acquire } = backend;
    backend.acquire = (request) => {
      id = request.id;
      return acquire(request);
    };
    const [first, second] = await lineOf(2);
    await pass(SPAN / 2);
    backend.lose(id);
    const next = await second!;
    expect([first.held, next.held, asked()]).toEqual([false, true, [1, 0]]);
  });

  it('when it was lost, and the next asks anew', async () => {
    const [first, second] = await lineOf(2);
    backend.renew = (leases) => Promise.resolve(leases.map(() => false));
    await expect(first.renew()).rejects.toMatchObject({ reason: 'stolen' });
    expect(await first.release()).toBe('stolen');
    const next = await second!;
    expect([next.held, asked()[0]]).toEqual([true, 1]);
    expect(next.fencingToken).toBeGreaterThan(first.fencingToken);
  });

  it('when the application closes', async () => {
    const [first, second] = await lineOf(2);
    const closing = locks.close();
    await expect(second).rejects.toMatchObject({ code: 'LOCK_SHUTDOWN' });
    await pass(1);
    await closing;
    expect(first.held).toBe(false);
    expect(asked()).toEqual([0, 1]);
  });

  it('and none is handed over by a store that reserved no tokens', async () => {
    const first = await locks.acquire('k');
    const second = locks.acquire('k');
    await pass(0);
    expect(asked()).toEqual([2, 0]);
    await first.release();
    await (await second).release();
    expect(asked()).toEqual([2, 2]);
  });
});
