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
   * Otherwise the second entry rejects at once with a LockReentrancyError; that of an event handler
   * waits until the body that emitted the event is over, and rejects so when its `wait` is over before.
   * @default false
   */
  reentrant?: boolean;

  /**
   * `'shared'` for readers, who hold the key together; a writer holds it alone. Served in the order of
   * arrival: a reader never passes a writer who waits already, and the readers at the head of
   * the queue are let in together.
   * @default 'exclusive'
   */
  mode?: LockMode;

  /**
   * How many may hold the key at once: a semaphore, of which each permit has its own token and its own
   * life. Those who give different limits are never let in together: they wait for each other, in the
   * order of arrival, and with `wait: 0` the call rejects with a LockConfigurationError that has both.
   * Not with `mode: 'shared'`, and not on Redlock.
   * @default 1
   */
  limit?: number;

  /**
   * The key stays taken for at least this long from the grant, however early it is given back: so that
   * a job that all replicas start at about the same time runs once. A holder that crashes keeps it
   * for the ttl, as ever.
   * @default 0
   */
  minHold?: Duration;
}

/** What a lock is called where there may be too many keys. */
export interface LockTemplate {
  /**
   * What metrics and spans call the lock instead of its key, of which there may be too many: the same
   * for all calls of one place, such as `order:{id}`. At most 200 characters.
   * @default of a decorator: its key template, or `Class.method` for a key function; else none
   */
  template?: string;
}

/** Options of one call. */
export interface LockOptions extends LockHoldOptions, LockTemplate {
  /** Ends the waiting: the call rejects with its reason. It does not end a lock that is held. */
  signal?: AbortSignal;
}

/** Options of `@Locked`. */
export interface LockedOptions<Args extends unknown[] = never[]>
  extends LockHoldOptions, LockTemplate {
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
