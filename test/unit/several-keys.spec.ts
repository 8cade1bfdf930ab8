import { Injectable } from '@nestjs/common';
import {
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

beforeEach(() => {
  backend = new WatchedBackend();
  other = new LockService({ backend, shutdownGrace: 0 });
  other.onModuleInit();
  locks = new LockService({ backend, shutdownGrace: 0 });
  locks.onModuleInit();
});

afterEach(async () => {
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
  const start = performance.now();
  const error: unknown = await locks.acquire(['a', 'b'], { wait: 60 }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(LockTimeoutError);
  expect(error).toMatchObject({ key: 'b', wait: 60 });
  expect(performance.now() - start).toBeLessThan(1_000);
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
