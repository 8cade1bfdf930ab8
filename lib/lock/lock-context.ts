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
  readonly service: object | undefined;
  /** Where an event handler begins, which has no lock by that. */
  readonly isEvent: boolean;
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
  const scope: Scope = { lock, service, isEvent: false, outer: running(scopes.getStore()) };
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

/** The innermost lock that this async context runs under, of whichever service. */
export function lockHere(): HeldLock | undefined {
  let scope = running(scopes.getStore());
  for (; scope !== undefined; scope = running(scope.outer)) {
    if (scope.lock?.released === false) return scope.lock;
  }
  return undefined;
}

/** Whether this async context runs under any lock. */
export function runsUnderLocks(): boolean {
  return running(scopes.getStore()) !== undefined;
}

/**
 * Runs a handler of events. Whoever emitted them need not wait for it: so it may wait for the locks
 * that it runs under.
 */
export function runAsEvent<T>(handler: () => T): T {
  const outer = running(scopes.getStore());
  if (outer === undefined || outer.isEvent) return handler();
  return scopes.run({ lock: undefined, service: undefined, isEvent: true, outer }, handler);
}

/**
 * The innermost lock of `service` that this async context runs under, or the one of `key`, be it
 * part of a lock of several keys.
 * Released ones do not count: a task that outlives the body is under no lock.
 */
export function currentLock(service: object, key: string): LockHandle | undefined;
export function currentLock(service: object, key?: string): HeldLock | undefined;
export function currentLock(service: object, key?: string): HeldLock | undefined {
  return find(scopes.getStore(), service, key)?.lock;
}

/** One of the keys, or the one asked for, that a body still holds which emitted an event. */
export type HeldByEmitter = (key?: string) => string | undefined;

/**
 * Which of the keys this async context runs under only by an event that was emitted under them.
 * Undefined if none; else it tells later, wherever it is called, which still are.
 */
export function heldByEmitter(service: object, keys: readonly string[]): HeldByEmitter | undefined {
  const scope = scopes.getStore();
  if (scope === undefined) return undefined;
  const isHeld = (key: string) => find(scope, service, key)?.byEvent === true;
  const held: HeldByEmitter = (asked) =>
    keys.find((key) => (asked === undefined || asked === key) && isHeld(key));
  return held() === undefined ? undefined : held;
}

function find(
  from: Scope | undefined,
  service: object,
  key: string | undefined,
): { lock: HeldLock; byEvent: boolean } | undefined {
  let byEvent = false;
  for (let scope = running(from); scope !== undefined; scope = running(scope.outer)) {
    byEvent ||= scope.isEvent;
    if (scope.service !== service) continue;
    const lock = key === undefined ? scope.lock : scope.lock?.of(key);
    if (lock?.released === false) return { lock, byEvent };
  }
  return undefined;
}

/** The innermost scope whose body is not over; an event is over with all bodies around it. */
function running(scope: Scope | undefined): Scope | undefined {
  while (scope !== undefined && scope.lock === undefined) {
    if (scope.isEvent) {
      const outer = running(scope.outer);
      // Those in between are forgotten: events may follow from each other for as long as a body runs.
      scope.outer = outer?.isEvent === true ? outer.outer : outer;
      if (outer !== undefined) return scope;
    }
    scope = scope.outer;
  }
  return scope;
}
