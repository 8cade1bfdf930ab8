import type { LockMode } from './lock.interface.js';

/**
 * The shape of `navigator.locks`, as the W3C's Web Locks API has it (§ LockManager class): what is
 * written for it runs on the locks of a `LockService`, across all processes that share the
 * backend. It fits TypeScript's own `LockManager` of `lib.dom`.
 *
 * Where it must differ from the standard:
 * - A name is a key: not empty, well-formed and at most 1024 bytes, or a LockKeyError. The key is the
 *   same one for `@Locked`, `withLock` and this.
 * - A request of a name that its async context holds rejects at once with a LockReentrancyError, where
 *   the standard lets it wait for itself; also if nobody awaits it. Readers may read again, and
 *   `ifAvailable` and `steal` do what the standard says.
 * - `steal` breaks the lock of whoever holds it now, and then takes its turn: those who wait already
 *   come first. The last of several thieves has it in the end; those of other processes take their turn.
 * - A lock may be lost otherwise than by a theft. Its request rejects then as for one, with an
 *   AbortError, the cause of which is the LockLostError.
 * - A backend that fails rejects with a LockBackendError, an application that closes with a
 *   LockShutdownError.
 *
 * Of the module's options only `ttl` is used. While a callback runs, `LockService.current(name)` is its
 * lock, with the fencing token.
 *
 * @see https://w3c.github.io/web-locks/
 */
export interface WebLockManager {
  /**
   * Waits for the lock for as long as it takes, runs `callback`, and gives the lock back when the promise
   * that it returned is settled. Resolves to what that resolves to. Never throws: whatever is wrong, it
   * rejects.
   *
   * Requests that are granted together are called back in their order, unless the store answers to one of
   * them a second late.
   */
  request<T>(name: string, callback: WebLockGrantedCallback<T>): Promise<Awaited<T>>;
  request<T>(
    name: string,
    options: WebLockOptions,
    callback: WebLockGrantedCallback<T>,
  ): Promise<Awaited<T>>;

  /**
   * Who holds locks, and who waits for them: all of the backend's namespace, however they were taken.
   * Read page by page, so that what changes meanwhile may be half seen. Every request that this process
   * made before is seen. Of those of another process that wait for the exclusive lock of one name
   * the first is, and of each name a hundred.
   */
  query(): Promise<WebLockManagerSnapshot>;
}

/** § LockOptions */
export interface WebLockOptions {
  /** @default 'exclusive' */
  mode?: LockMode;
  /**
   * Tries once: if the lock is held by another, the callback is called with null.
   * @default false
   */
  ifAvailable?: boolean;
  /**
   * Breaks the lock for whoever holds it, who still runs: see `LockService.forceRelease`. Exclusive
   * only, and without the other options.
   * @default false
   */
  steal?: boolean;
  /** Ends the waiting: the request rejects with its reason. Ignored once the callback runs. */
  signal?: AbortSignal;
}

/** @param lock null only with `ifAvailable` */
export type WebLockGrantedCallback<T> = (lock: WebLock | null) => T;

/** § Lock class */
export interface WebLock {
  readonly name: string;
  readonly mode: LockMode;
}

/** § The query() method */
export interface WebLockManagerSnapshot {
  held: WebLockInfo[];
  /** Those of one name in the order in which they are served. */
  pending: WebLockInfo[];
}

export interface WebLockInfo {
  name: string;
  mode: LockMode;
  /** The LockService that asked for it: host, pid and label, and what makes it unique. */
  clientId: string;
}
