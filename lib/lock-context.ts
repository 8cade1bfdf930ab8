import { AsyncLocalStorage } from 'node:async_hooks';
import type { LockHandle } from './lock-handle.js';

/** A lock that code runs under, inside of the locks that were entered before it. */
interface Scope {
  readonly lock: LockHandle;
  /** The service that gave it: keys of other services are other keys. */
  readonly service: object;
  readonly outer: Scope | undefined;
}

const scopes = new AsyncLocalStorage<Scope>();

/** Runs `body` so that everything it calls and awaits knows that it runs under `lock`. */
export function runUnder<T>(service: object, lock: LockHandle, body: () => T): T {
  let outer = scopes.getStore();
  // A task that outlives its body may start the next one, and so on for ever: none remembers the last.
  while (outer?.lock.released) outer = outer.outer;
  return scopes.run({ lock, service, outer }, body);
}

/**
 * The innermost lock of `service` that this async context runs under, for `key` or for any.
 * Released ones do not count: a task that outlives the body is under no lock.
 */
export function currentLock(service: object, key?: string): LockHandle | undefined {
  for (let scope = scopes.getStore(); scope !== undefined; scope = scope.outer) {
    const matches = scope.service === service && (key === undefined || scope.lock.key === key);
    if (matches && !scope.lock.released) return scope.lock;
  }
  return undefined;
}
