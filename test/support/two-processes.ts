import { Logger } from '@nestjs/common';
import {
  LockBackendError,
  LockService,
  LockTimeoutError,
  type LockBackend,
  type LockModuleOptions,
} from 'nestjs-lock';
import { eventually } from './eventually.js';

const open = new Set<LockService>();

/** A LockService on this backend, which sees it as a process of its own. Closed after the test. */
export function openService(backend: LockBackend, options: LockModuleOptions = {}): LockService {
  const service = new LockService({ backend, shutdownGrace: 0, ...options });
  service.onModuleInit();
  open.add(service);
  return service;
}

/** What was warned of since the last test. */
export const warnings: string[] = [];

beforeAll(() => {
  Logger.overrideLogger({
    log: () => undefined,
    warn: (message: string) => warnings.push(message),
    error: (message: string) => warnings.push(message),
  });
});

afterEach(async () => {
  for (const service of open) await service.close();
  open.clear();
  warnings.length = 0;
});

/** How many hand-overs of {@link useEverything}. */
const HAND_OVERS = 5;

/**
 * Does all that locks can do, between two processes. Without a message each hand-over would wait
 * for a heartbeat, a second later.
 */
export async function useEverything(
  backend: LockBackend,
  other: LockBackend = backend,
  key = 'everything',
): Promise<void> {
  const [first, second] = [openService(backend), openService(other)];
  let lock = await first.acquire(key);
  await lock.renew();
  expect(await second.tryAcquire(key)).toBeNull();
  await expect(second.acquire(key, { wait: 500 })).rejects.toThrow(LockTimeoutError);

  const start = performance.now();
  for (let turn = 0; turn < HAND_OVERS; turn++) {
    const next = (turn % 2 ? first : second).acquire(key, { wait: 5_000 });
    await eventually('the other waits', async () => (await first.inspect(key)).waiters === 1);
    expect(await lock.release()).toBe('released');
    const { fencingToken } = lock;
    lock = await next;
    expect(lock.fencingToken).toBeGreaterThan(fencingToken);
  }
  expect(performance.now() - start).toBeLessThan(HAND_OVERS * 500);

  const { holders, waiters } = await first.inspect(key);
  expect([holders.length, waiters]).toEqual([1, 0]);
  expect(await lock.release()).toBe('released');
}

/** Does the rest: what several hold at once, and what operators do. */
export async function useSharing(backend: LockBackend, key = 'sharing'): Promise<void> {
  const [first, second] = [openService(backend), openService(backend)];
  const writer = await first.acquire(key);
  const reader = second.acquire(key, { mode: 'shared', wait: 5_000 });
  await eventually('the reader waits', async () => (await first.inspect(key)).waiters === 1);
  await writer.downgrade();
  const locks = [writer, await reader];
  for (const lock of locks) await lock.renew();
  expect((await first.inspect(key)).holders.map(({ mode }) => mode)).toEqual(['shared', 'shared']);
  expect(await first.tryAcquire(key)).toBeNull();
  for (const lock of locks) expect(await lock.release()).toBe('released');
  // One ends by itself, while the other goes on.
  await first.acquire(key, { limit: 2, ttl: 100, renew: false });
  const permit = await first.acquire(key, { limit: 2 });
  await (await second.acquire(key, { limit: 2, wait: 5_000 })).release();
  await permit.release();
  await first.withLock(key, { minHold: 300 }, () => undefined);
  const lock = await second.acquire(key, { wait: 5_000 });
  const keys = [];
  for await (const state of first.list('shar*')) keys.push(state.key);
  expect(keys).toEqual([key]);
  expect(await first.revoke(key)).toBe(1);
  await eventually('the message', () => lock.revocation.aborted);
  expect(await first.forceRelease(key)).toBe(1);
  await eventually('the loss', () => lock.signal.aborted);
}

/** The error that says why nothing can be locked on this backend. */
export async function failure(backend: LockBackend, wait = 500): Promise<LockBackendError> {
  const error: unknown = await openService(backend)
    .acquire('failing', { wait })
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(LockBackendError);
  return error as LockBackendError;
}
