import { setImmediate as turn } from 'node:timers/promises';
import { Injectable, Logger } from '@nestjs/common';
import {
  LockBackendError,
  Locked,
  LockConfigurationError,
  LockLostError,
  LockReentrancyError,
  LockService,
  LockTimeoutError,
} from 'nestjs-lock';
import { eventually } from '../support/eventually.js';
import { WatchedBackend } from '../support/watched-backend.js';

let backend: WatchedBackend;
let locks: LockService;
let other: LockService;

beforeAll(() => {
  Logger.overrideLogger(false);
});

beforeEach(() => {
  backend = new WatchedBackend();
  other = new LockService({ backend, shutdownGrace: 0 });
  other.onModuleInit();
  locks = new LockService({ backend, shutdownGrace: 0 });
  locks.onModuleInit();
});

afterEach(async () => {
  backend.endStalls();
  await locks.close();
  await other.close();
});

it('are sorted, and each is locked once', async () => {
  const lock = await locks.acquire(['b', 'a', 'b']);
  expect(lock.keys).toEqual(['a', 'b']);
  expect(lock.key).toBe('a, b');
  expect(backend.asked.map(({ key }) => key)).toEqual(['a', 'b']);
});

it.each([
  [[], 'key must name at least one key, got []'],
  [['a', ''], "key must not be empty, got ''"],
  [['a', 7], 'key must be a string, got 7'],
  [{ 0: 'a' }, 'key must be a string or an array of strings, got {'],
])('are not %j', async (keys, message) => {
  await expect(locks.acquire(keys as string[])).rejects.toThrow(message);
  expect(backend.asked).toEqual([]);
});

it('of one is a lock as any other', async () => {
  const lock = await locks.acquire(['a', 'a']);
  expect(lock.key).toBe('a');
  expect(lock.fencingTokenOf('a')).toBe(lock.fencingToken);
  expect(() => lock.fencingTokenOf('b')).toThrow('Lock "a" has no key "b"');
});

it('have no common token, and no common guard', async () => {
  const lock = await locks.acquire(['a', 'b']);
  expect(() => lock.fencingToken).toThrow(LockConfigurationError);
  expect(() => lock.fencingToken).toThrow('ask fencingTokenOf(key)');
  expect(() => lock.guard()).toThrow(LockConfigurationError);
  expect(() => lock.fencingTokenOf('c')).toThrow('Lock "a, b" has no key "c"');
  expect(lock.fencingTokenOf('a')).not.toBe(lock.fencingTokenOf('b'));
});

it('are lost together when one of them is', async () => {
  const lock = await locks.acquire(['a', 'b']);
  const { signal } = lock;
  backend.lose('b');
  expect([lock.held, lock.remaining, signal.aborted]).toEqual([false, 0, true]);
  expect(signal.reason).toBeInstanceOf(LockLostError);
  expect(() => {
    lock.assertHeld();
  }).toThrow(expect.objectContaining({ key: 'b', reason: 'stolen' }) as Error);
  await expect(lock.release()).resolves.toBe('stolen');
  await expect(other.tryAcquire('a')).resolves.not.toBeNull();
});

it('end withLock with the LockLostError of the one that was lost', async () => {
  const body = locks.withLock(['a', 'b'], () => {
    backend.lose('a');
  });
  await expect(body).rejects.toMatchObject({ name: 'LockLostError', key: 'a' });
});

it('are renewed together', async () => {
  const lock = await locks.acquire(['a', 'b'], { ttl: 1_000 });
  await lock.renew(5_000);
  expect(lock.remaining).toBeGreaterThan(4_000);
});

it('name the one that is held when they are tried once', async () => {
  await other.acquire('b');
  const attempt = locks.acquire(['a', 'b', 'c'], { wait: 0 });
  await expect(attempt).rejects.toMatchObject({ name: 'LockTimeoutError', key: 'b', wait: 0 });
});

it('share one wait, which the error names', async () => {
  await other.acquire('b');
  const error: unknown = await locks.acquire(['a', 'b'], { wait: 60 }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(LockTimeoutError);
  expect(error).toMatchObject({ key: 'b', wait: 60 });
});

it('are waited for by a caller whose signal ends that, and none is left behind', async () => {
  await other.acquire('b');
  const caller = new AbortController();
  const waiting = locks.acquire(['a', 'b'], { wait: Infinity, signal: caller.signal });
  await eventually('it waits', async () => (await other.inspect('b')).waiters === 1);
  caller.abort(new TypeError('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect(other.tryAcquire('a')).resolves.not.toBeNull();
});

it('are not granted when one was lost while another was waited for', async () => {
  const held = await other.acquire('b');
  const waiting = locks.acquire(['a', 'b'], { wait: Infinity });
  await eventually('it waits', async () => (await other.inspect('b')).waiters === 1);
  backend.lose('a');
  await held.release();
  await expect(waiting).rejects.toMatchObject({ name: 'LockLostError', key: 'a' });
  await expect(other.tryAcquire(['a', 'b'])).resolves.not.toBeNull();
});

describe('at a backend that hangs', () => {
  /** The error of a call that ends without the backend. */
  function refusal(call: Promise<unknown>): Promise<unknown> {
    return call.then(
      () => undefined,
      (reason: unknown) => reason,
    );
  }

  it.each([20, 200])('are waited for no longer than the wait of %i ms', async (wait) => {
    const { end } = backend.stall('acquire', 'b');
    const error = await refusal(locks.acquire(['a', 'b'], { wait }));
    expect(error).toBeInstanceOf(LockBackendError);
    expect(error).toMatchObject({ key: 'b' });
    await expect(other.tryAcquire('a')).resolves.not.toBeNull();
    end();
    await expect(other.acquire('b')).resolves.toMatchObject({ held: true });
  });

  it('are tried once for no longer than a single key, giving back included', async () => {
    backend.stall('acquire', 'b');
    backend.stall('release', 'a');
    const single = refusal(locks.acquire('b', { wait: 0 }));
    const both = refusal(locks.acquire(['a', 'b'], { wait: 0 }));
    await expect(single).resolves.toBeInstanceOf(LockBackendError);
    await expect(both).resolves.toBeInstanceOf(LockBackendError);
  });

  it('are waited for as long as the wait allows, also beyond the first attempt', async () => {
    const { end } = backend.stall('acquire', 'b');
    const lock = locks.acquire(['a', 'b'], { wait: Infinity });
    await eventually('b is asked for again', () => backend.asked.length === 4);
    end();
    await expect(lock).resolves.toMatchObject({ held: true });
  });

  it.each([
    [
      'busy when the rest of the wait is too short to tell',
      200,
      { code: 'LOCK_TIMEOUT', key: 'b' },
    ],
    ['not answered when it is not', 2_500, { code: 'LOCK_BACKEND', key: 'a' }],
  ])('are said to be %s after one of them was busy', async (_, wait, expected) => {
    await other.acquire('b');
    const { asked, end } = backend.stall('release', 'a');
    const rejected = refusal(locks.acquire(['a', 'b'], { wait }));
    await asked;
    backend.stall('acquire', 'a');
    end();
    expect(await rejected).toMatchObject(expected);
  });

  it.each([0, 100])('are given back behind the back of who waited %i ms', async (wait) => {
    await other.acquire('b');
    const { end } = backend.stall('release', 'a');
    const error = await refusal(locks.acquire(['a', 'b'], { wait }));
    expect(error).toBeInstanceOf(LockTimeoutError);
    expect(error).toMatchObject({ key: 'b', wait });
    await expect(other.tryAcquire('a')).resolves.toBeNull();
    end();
    await expect(other.acquire('a')).resolves.toMatchObject({ held: true });
  });

  it('are given back behind the back of who lost one', async () => {
    const held = await other.acquire('b');
    const waiting = locks.acquire(['a', 'b'], { wait: Infinity });
    await eventually('it waits', async () => (await other.inspect('b')).waiters === 1);
    backend.lose('a');
    const rejected = refusal(waiting);
    const released = held.release();
    backend.stall('release', 'b');
    expect(await rejected).toBeInstanceOf(LockLostError);
    await released;
  });

  it('are given back before a caller hears that there is none, if that does not take long', async () => {
    await other.acquire('b');
    const { asked, end } = backend.stall('release', 'a');
    const attempt = locks.tryAcquire(['a', 'b']);
    await asked;
    for (let turns = 0; turns < 5; turns++) await turn();
    end();
    await expect(attempt).resolves.toBeNull();
    await expect(locks.tryAcquire('a')).resolves.not.toBeNull();
  });

  it('are not waited for by a caller whose signal aborts while they are tried', async () => {
    const { asked } = backend.stall('acquire', 'b');
    backend.stall('release', 'a');
    const caller = new AbortController();
    const waiting = locks.acquire(['a', 'b'], { wait: Infinity, signal: caller.signal });
    await asked;
    const rejected = refusal(waiting);
    caller.abort(new TypeError('enough'));
    expect(await rejected).toMatchObject({ message: 'enough' });
  });

  it.each([0, Infinity])(
    'are not waited for by a caller with a wait of %d whose signal aborts while they are given back',
    async (wait) => {
      await other.acquire('b');
      const { asked } = backend.stall('release', 'a');
      const caller = new AbortController();
      const waiting = locks.acquire(['a', 'b'], { wait, signal: caller.signal });
      await asked;
      const rejected = refusal(waiting);
      caller.abort(new TypeError('enough'));
      expect(await rejected).toMatchObject({ message: 'enough' });
    },
  );

  it('are not waited for by a caller whose signal aborts between one and the next', async () => {
    await other.acquire('b');
    const caller = new AbortController();
    const waiting = locks.acquire(['a', 'b'], { wait: Infinity, signal: caller.signal });
    await eventually('it waits', async () => (await other.inspect('b')).waiters === 1);
    backend.stall('release', 'a');
    const rejected = refusal(waiting);
    caller.abort(new TypeError('enough'));
    expect(await rejected).toMatchObject({ message: 'enough' });
  });
});

it('are each under what current() finds, and re-entered only where that is wanted', async () => {
  await locks.withLock(['a', 'b'], async (lock) => {
    expect(locks.current()).toBe(lock);
    expect(locks.current('b')?.fencingToken).toBe(lock.fencingTokenOf('b'));
    expect(locks.current('c')).toBeUndefined();
    await expect(locks.acquire('b')).rejects.toThrow(LockReentrancyError);
    await expect(locks.acquire(['b', 'c'])).rejects.toThrow(LockReentrancyError);
    await locks.withLock(['c', 'b'], { reentrant: true }, (inner) => {
      expect(inner.fencingTokenOf('b')).toBe(lock.fencingTokenOf('b'));
    });
    expect(lock.held).toBe(true);
  });
});

it('may be what a key function gives', async () => {
  @Injectable()
  class Accounts {
    @Locked((from: string, to: string) => [`account:${from}`, `account:${to}`])
    async transfer(_from: string, _to: string): Promise<readonly string[] | undefined> {
      return locks.current()?.keys;
    }
  }
  const accounts = locks.attach(new Accounts());
  await expect(accounts.transfer('2', '1')).resolves.toEqual(['account:1', 'account:2']);
  await expect(accounts.transfer('1', '1')).resolves.toEqual(['account:1']);
});
