import type { LockGuard } from '../backends/lock-backend.js';
import type { ReleaseOutcome } from '../lease/leases.js';

export type { ReleaseOutcome };

/** What to lock: several keys are locked together, all or none. */
export type LockKey = string | readonly string[];

/** How a key is held. Readers (`shared`) are not offered yet. */
export type LockMode = 'exclusive';

/**
 * The handle of a held lock.
 *
 * `held` and `remaining` are computed from the clock at each look, so that the first look after a
 * pause already tells the truth.
 *
 * @example
 * await using lock = await locks.acquire('report');
 */
export interface Lock extends AsyncDisposable {
  /** Of several keys all of them, for messages. */
  readonly key: string;
  /** Sorted, each once. */
  readonly keys: readonly string[];
  readonly mode: LockMode;
  /**
   * Strictly greater than that of every earlier grant of this key. Hand it to the resource and let
   * it refuse smaller ones: `UPDATE … WHERE fence < $token`.
   * @throws LockConfigurationError for the lock of several keys, each of which has its own
   */
  readonly fencingToken: number;
  /** That of one of its keys. @throws LockConfigurationError for any other */
  fencingTokenOf(key: string): number;
  /**
   * Aborted with a {@link LockLostError} when the lock is lost, or when the application shuts down.
   * The lock of several keys is lost as soon as one of them is.
   */
  readonly signal: AbortSignal;
  /** Whether the lock is surely still this holder's. */
  readonly held: boolean;
  /** Milliseconds for which it surely stays so without renewal; 0 when it is over. */
  readonly remaining: number;

  /** Throws a {@link LockLostError} unless {@link held}. Call it right before what must not happen twice. */
  assertHeld(): void;

  /**
   * Renews the lease now, for `ttl` (default: the lock's own, which a given one replaces).
   * @throws LockLostError when the lock is gone; LockBackendError when the backend did not answer
   */
  renew(ttl?: number | string): Promise<void>;

  /**
   * For those who keep their data where the lock is: what makes a transaction of their own succeed
   * only while the lock is theirs. On etcd: `client.if(...lock.guard()).then(…).commit()`.
   * @throws LockLostError when it is not {@link held}; LockConfigurationError on any other backend
   */
  guard(): LockGuard;

  /** Gives the lock back. Idempotent; never rejects: the outcome says what happened. */
  release(): Promise<ReleaseOutcome>;
}

/** What an operator sees of a key. */
export interface LockState {
  readonly key: string;
  readonly holders: readonly LockHolder[];
  /** Waiting processes; callers of one process wait in one line, of which the backend sees the first. */
  readonly waiters: number;
}

export interface LockHolder {
  /**
   * Of a lock that another process holds, the token with which it came to that process, where it may
   * since have been handed over for some milliseconds to callers with greater ones.
   */
  readonly fencingToken: number;
  /** Milliseconds until the lease ends if it is not renewed. */
  readonly remaining: number;
}
