import type { LeaseMode, LockGuard, SqlGuard } from '../backends/lock-backend.js';
import type { LockLostReason } from '../errors/index.js';

/** What to lock: several keys are locked together, all or none. */
export type LockKey = string | readonly string[];

/**
 * What became of a release: `released`; `unconfirmed` when the backend did not answer in time
 * (the release is tried on, and the lease ends by itself at its ttl); or why the lock had been
 * lost before.
 */
export type ReleaseOutcome = 'released' | 'unconfirmed' | LockLostReason;

/** How a key is held: by one writer alone, or by readers together. */
export type LockMode = LeaseMode;

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
  /**
   * Aborted, with a {@link LockLostError} of reason `revoked`, as soon as somebody asks for the lock by
   * `LockService.revoke`: who finishes and releases now does it by choice. {@link signal} follows
   * when the grace is over. The lock stays held all that time, until it is released.
   */
  readonly revocation: AbortSignal;
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
   * Makes an exclusive lock a shared one, in one step: readers are let in, but no writer in between.
   * The token stays the same. Does nothing to one that is shared already. There is no way back, as
   * two readers who want to write would wait for each other.
   * @throws LockLostError when the lock is gone; LockBackendError when the backend did not answer;
   * LockConfigurationError for one of a `limit`, and while it is held by several reentrant holders
   */
  downgrade(): Promise<void>;

  /**
   * For those who keep their data where the lock is: what makes a transaction of their own succeed
   * only while the lock is theirs. On etcd: `client.if(...lock.guard()).then(…).commit()`.
   * @throws LockLostError when it is not {@link held}; LockConfigurationError on any other backend
   */
  guard(): LockGuard;

  /**
   * The same where the data is in PostgreSQL: a statement to be run in the transaction that writes, first of
   * all. It fails when the lock is not held any more, and nobody else is granted it before that transaction
   * has ended. With pg: `client.query(lock.guard('sql'))`.
   * @throws LockLostError when it is not {@link held}; LockConfigurationError on any other backend
   */
  guard(kind: 'sql'): SqlGuard;

  /** Gives the lock back. Idempotent; never rejects: the outcome says what happened. */
  release(): Promise<ReleaseOutcome>;
}

/** What an operator sees of a key. */
export interface LockState {
  readonly key: string;
  /** In the order of their tokens. */
  readonly holders: readonly LockHolder[];
  /** Waiting requests; of callers of one process that want a plain lock, the backend sees the first. */
  readonly waiters: number;
  /** The first hundred of them, in the order in which they are served. */
  readonly queue: readonly LockWaiter[];
}

export interface LockHolder {
  /**
   * Of a lock that another process holds, the token with which it came to that process, where it may
   * since have been handed over for some milliseconds to callers with greater ones.
   */
  readonly fencingToken: number;
  readonly mode: LockMode;
  /** When it was granted, by this machine's clock. */
  readonly since: Date;
  /** Milliseconds until the lease ends if it is not renewed. */
  readonly remaining: number;
  readonly owner: LockOwner;
}

export interface LockWaiter {
  /** From 0. */
  readonly place: number;
  readonly mode: LockMode;
  /** Since when it waits, by this machine's clock. */
  readonly since: Date;
  readonly owner: LockOwner;
}

/** Where a request comes from, as far as it says so. */
export interface LockOwner {
  readonly host: string | undefined;
  readonly pid: number | undefined;
  /** The module's option `label`. */
  readonly label: string | undefined;
  /** Whether it is of this very LockService. */
  readonly isSelf: boolean;
  /**
   * Of the span in which it was asked for, as the W3C's Trace Context writes it; only of processes with
   * OpenTelemetry's option `holderLinks`.
   */
  readonly traceparent: string | undefined;
}

/** How to ask for a lock back: see `LockService.revoke`. */
export interface RevokeOptions {
  /**
   * Why, for the holder's log: the message of the cause of its LockLostError.
   * @default ''
   */
  reason?: string;
  /**
   * How long the holder may go on before its signal is aborted.
   * @default '10s'
   */
  grace?: number | string;
}
