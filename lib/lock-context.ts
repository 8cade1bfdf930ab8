import { AsyncLocalStorage } from 'node:async_hooks';
import type { LockBundle } from './lock-bundle.js';
import type { LockHandle } from './lock-handle.js';

/** What code runs under. */
export type HeldLock = LockHandle | LockBundle;

/** A lock that code runs under, inside of the locks that were entered before it. */
interface Scope {
  /** Undefined once the body is over. */
  lock: HeldLock | undefined;
  /** The service that gave it: keys of other services are other keys. */
  readonly service: object;
  outer: Scope | undefined;
}

const scopes = new AsyncLocalStorage<Scope | undefined>();

/**
 * Runs `body` so that everything it calls and awaits knows that it runs under `lock`, and then
 * releases the lock.
 */
export async function runUnder<T>(
  service: object,
  lock: HeldLock,
  body: () => Promise<T> | T,
): Promise<T> {
  const scope: Scope = { lock, service, outer: running(scopes.getStore()) };
  try {
    return await scopes.run(scope, body);
  } finally {
    await lock.release();
    // A timer that the body leaves behind keeps this scope, and may start the next body, and so on
    // for ever: none of them may remember the last.
    scope.lock = undefined;
    scope.outer = running(scope.outer);
  }
}

/** Runs what goes on beside its caller: under none of the locks that the caller runs under. */
export function outsideOfLocks<T>(body: () => T): T {
  return scopes.run(undefined, body);
}

/**
 * The innermost lock of `service` that this async context runs under, or the one of `key`, be it
 * part of a lock of several keys.
 * Released ones do not count: a task that outlives the body is under no lock.
 */
export function currentLock(service: object, key: string): LockHandle | undefined;
export function currentLock(service: object, key?: string): HeldLock | undefined;
export function currentLock(service: object, key?: string): HeldLock | undefined {
  for (let scope = running(scopes.getStore()); scope?.lock; scope = running(scope.outer)) {
    if (scope.service !== service) continue;
    const lock = key === undefined ? scope.lock : scope.lock.of(key);
    if (lock?.released === false) return lock;
  }
  return undefined;
}

/** The innermost scope whose body is not over. */
function running(scope: Scope | undefined): Scope | undefined {
  while (scope !== undefined && scope.lock === undefined) scope = scope.outer;
  return scope;
}
