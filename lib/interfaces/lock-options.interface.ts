import type { LockTimeoutError } from '../errors/index.js';
import type { LockMode } from './lock.interface.js';

/** Milliseconds, or a string that the `ms` package reads: `'30s'`, `'2 minutes'`. At most 2^31 - 1 ms. */
export type Duration = number | string;

/** How to hold a lock. Defaults for all of them can be given to the module. */
export interface LockHoldOptions {
  /**
   * How long the lease lives without renewal: what a crashed holder costs the others.
   * @default '30s'
   */
  ttl?: Duration;

  /**
   * How long to queue for the lock. `0` tries once; `Infinity` never gives up. A hard bound on the
   * wall clock, also when the backend hangs.
   * @default '10s'
   */
  wait?: Duration;

  /**
   * Keep the lease alive until it is released. Without it the lock is lost when `ttl` is over.
   * @default true
   */
  renew?: boolean;

  /**
   * Renewing stops here: the lock is lost with reason `maxHold`, however long the body still runs.
   * @default none
   */
  maxHold?: Duration;

  /**
   * Whether an async context that holds the key may enter again, under the same lease and token.
   * Otherwise the second entry rejects at once with a LockReentrancyError.
   * @default false
   */
  reentrant?: boolean;

  /** Readers are not offered yet; anything but `'exclusive'` is refused. */
  mode?: LockMode;

  /** Semaphores are not offered yet; anything but `1` is refused. */
  limit?: 1;

  /** Minimal holds are not offered yet; anything but `0` is refused. */
  minHold?: 0;
}

/** Options of one call. */
export interface LockOptions extends LockHoldOptions {
  /** Ends the waiting: the call rejects with its reason. It does not end a lock that is held. */
  signal?: AbortSignal;
}

/** Options of `@Locked`. */
export interface LockedOptions<Args extends unknown[] = never[]> extends LockHoldOptions {
  /** The named LockModule instance whose service locks. */
  name?: string;

  /**
   * What a call does when the lock stays busy: reject with the LockTimeoutError, resolve
   * `undefined`, or resolve what this function makes of the error and the call's arguments.
   * @default 'throw'
   */
  onBusy?: 'throw' | 'skip' | ((error: LockTimeoutError, ...args: Args) => unknown);
}

/** Options of `@LockedStream`. */
export type LockedStreamOptions = Omit<LockedOptions, 'onBusy'>;
