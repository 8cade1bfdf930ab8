import type { Instant } from '../time/clock.js';

/**
 * THE contract: what a store must do so that the promises of this package hold on it.
 *
 * A backend is a recipe; {@link LockBackend.connect} makes the live thing. Every rule about
 * deadlines, renewal, loss, local queueing and shutdown is kept above this line, in `lease/`.
 * {@link MemoryBackend} is the reference, and the suite in `nestjs-lock/testing` the judge.
 */
export interface LockBackend {
  /** For messages: `redis`, `memory`. */
  readonly name: string;

  /** The shortest ttl in milliseconds that the store can keep; anything below is refused. */
  readonly minTtl: number;

  /** What the store can do beside exclusive locks; what it cannot is refused before anything is asked. */
  readonly supports: BackendSupport;

  /** Opens one process's view of the store. Returns at once; what must be awaited is awaited by the calls. */
  connect(process: LockProcess): BackendConnection;
}

export interface BackendSupport {
  /** Readers: requests of mode `shared`, and {@link BackendConnection.downgrade}. */
  readonly shared: boolean;
  /** Semaphores: requests with a limit above 1. */
  readonly limit: boolean;
}

/** Who connects: one per LockService. */
export interface LockProcess {
  /**
   * Unique; the part before the colon in every request id of this process. Without spaces and colons.
   * A label that says where the process runs may be part of it.
   */
  readonly id: string;
  /** Tells the operator of something that endangers a promise, with its mend. */
  warn(message: string): void;
  /**
   * To be told, by its request id, as soon as the connection learns that the store ended a lease
   * of this process before its time. Of an id that is not held it may be told as well.
   * @param token of the grant that was ended, where a later one of the same request may be held by now
   */
  lost(id: string, token?: number): void;
  /** To be told, by its request id, that somebody asks for a lease of this process; see {@link BackendConnection.revoke}. */
  revoked(id: string, revocation: Revocation): void;
  /**
   * To be told that a node of the store lost its memory, and so grants nothing new for so many
   * milliseconds: for telemetry.
   * @param node its place among the nodes of the store, from 1
   */
  paused?(node: number, ms: number, why: string): void;
}

/** What an operator says to a holder. */
export interface Revocation {
  /** In the operator's words. */
  readonly reason: string;
  /** Milliseconds until the holder is to stop. */
  readonly grace: number;
}

export interface BackendConnection {
  /**
   * Why the store, or the part of it that has this key, cannot be reached now, as far as this process
   * knows; undefined after any good reply from there.
   */
  troubleWith(key: string): Error | undefined;

  /**
   * Asks once for the lock. Idempotent by `request.id`: asked again, it answers the same grant. A
   * store that knows may answer at once.
   *
   * Requests that exclude each other are served in the order of their arrival: nobody passes an
   * older waiter, also who could be let in beside the holders. Those at the head that can hold
   * together are granted together. Requests with different limits exclude each other.
   *
   * While the store cannot be reached it keeps trying until it has an answer or
   * {@link cancel} is called; it rejects only with what trying again cannot mend, such as a name at
   * the store that somebody else uses for something else.
   */
  acquire(request: LockRequest): Answer | Promise<Answer>;

  /**
   * One attempt at several keys in one step: the grants of all, in their order, or nothing is done and
   * one of the busy keys is named. None of them queues. Idempotent, and withdrawn one by one, as those
   * of {@link acquire}. A store whose keys are not all in one place leaves it out.
   */
  acquireAll?(requests: readonly LockRequest[]): Promise<readonly Grant[] | BusyKey>;

  /**
   * Withdraws a request, whatever has become of it, in one atomic step at the store: if it owns
   * the lock, releases it and hands over; else leaves the queue. Also ends an `acquire` under
   * way, which then settles as it likes; a grant that comes late is given back, never leaked.
   */
  cancel(request: LockRequest): Promise<void>;

  /**
   * Gives each lease at least its ttl to live from now, if it is still this owner's. Answers in the
   * same order: true for renewed, false for not (or no longer) the owner, an error for a lease of
   * which the store said nothing. Never shortens a lease: requests may be late, and the last answer
   * is what a holder believes. Never creates one, unless the store knows that it lost its memory and
   * granted nothing since. Rejects when the store did not answer at all. It need not be quick: who
   * asks has its own patience.
   */
  renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]>;

  /**
   * Ends the lease and hands the lock to those who are next in the same step. False when it was not
   * the owner's any more; nobody else's lease is touched. Rejects when the store did not answer.
   *
   * @param keepFor for so many milliseconds nobody is let in, as if it was held still; 0 mostly
   */
  release(lease: HeldLease, keepFor: number): boolean | Promise<boolean>;

  /**
   * Makes an exclusive lease a shared one under the same token, and lets in the readers at the head of
   * the queue, in one step. False when it was not the owner's any more. May be called again.
   */
  downgrade(lease: LeaseIdentity): Promise<boolean>;

  /** Who holds the key and who waits for it. */
  inspect(key: string): Promise<KeyState>;

  /**
   * The keys that are held, each at least once while it is held all the time. Reads page by page,
   * and never stops the store for others.
   *
   * @param pattern `*` for any characters, `?` for one; everything else stands for itself
   */
  list(pattern: string): AsyncIterable<string>;

  /** Tells each holder of the key what {@link LockProcess.revoked} says. How many there were. */
  revoke(key: string, revocation: Revocation): Promise<number>;

  /**
   * Ends all leases of the key, whoever has them, hands it to those who are next in the same step, and
   * tells the holders by {@link LockProcess.lost}. How many there were.
   */
  forceRelease(key: string): Promise<number>;

  /** Closes what `connect` opened and nothing else; ends every timer. No call follows. */
  close(): Promise<void>;
}

/** One lease at the store. */
export interface LeaseIdentity {
  /** `process id:counter`, or `process id:traceparent:counter`; unique per acquisition, without spaces. */
  readonly id: string;
  readonly key: string;
}

/** A lease, and how it is held as far as its holder knows: a downgrade may have come about unanswered. */
export interface HeldLease extends LeaseIdentity {
  /** `shared` holds beside others that are shared, `exclusive` beside nobody, if the limit is 1. */
  readonly mode: LeaseMode;
  /** How many may hold the key at once, none of them with another limit. */
  readonly limit: number;
}

export interface LockRequest extends HeldLease {
  /** Milliseconds. */
  readonly ttl: number;
  /** Whether to stand in the queue when the lock is not free. */
  readonly queue: boolean;
  /** How many more callers of this process wait for the key: see {@link Grant.reserve}. */
  readonly reserve: number;
}

export type LeaseMode = 'exclusive' | 'shared';

/** Whether it holds the key alone. */
export function isAlone({ mode, limit }: Pick<LockRequest, 'mode' | 'limit'>): boolean {
  return mode === 'exclusive' && limit === 1;
}

export interface LeaseRenewal extends HeldLease {
  /** The greatest fencing token that the lease may give. */
  readonly token: number;
  /** Milliseconds. */
  readonly ttl: number;
}

export type Answer = Grant | Busy | Waiting;

export interface Grant {
  readonly state: 'granted';
  /** The fencing token: minted with the grant, greater than every earlier one of the key. */
  readonly token: number;
  /** A local instant that is surely not later than the start of the lease at the store. */
  readonly since: Instant;
  /** Milliseconds of life from `since`; a hand-off may grant less than was asked until the first renewal. */
  readonly ttl: number;
  /**
   * How many tokens after {@link token} are this lease's as well, for those of its process to whom it
   * is handed over without the store. A store that cannot give a range leaves it out.
   */
  readonly reserve?: number;
  /** Where the store has transactions of the user's: what makes one succeed only under this grant. */
  readonly guard?: LockGuard | SqlGuard;
}

/** A comparison for a transaction at etcd, in the order in which etcd3's `if()` takes it. */
export type LockGuard = readonly [
  key: string,
  column: 'Create',
  comparison: '==',
  value: number | string,
];

/** A statement for a transaction at a database, as `query()` of pg takes it; it fails unless the lock is held. */
export interface SqlGuard {
  /** With `$1`, `$2` … in the places of {@link values}. */
  readonly text: string;
  readonly values: string[];
}

/** Held by another, and the request did not want to queue. */
export interface Busy {
  readonly state: 'busy';
  /**
   * The limit of those who hold the key, or of the first who waits where nobody does, if the request
   * has another one.
   */
  readonly limit?: number;
}

/** @param otherLimit see {@link Busy.limit} */
export function busy(otherLimit?: number): Busy {
  return otherLimit === undefined ? { state: 'busy' } : { state: 'busy', limit: otherLimit };
}

/** One of several keys that is held by another. */
export interface BusyKey extends Busy {
  readonly key: string;
}

export interface Waiting {
  readonly state: 'waiting';
  /** Resolves when it is the request's turn; rejects only with what waiting on cannot mend. */
  readonly granted: Promise<Grant>;
}

export interface KeyState {
  /** In the order of their tokens. */
  readonly holders: readonly HolderState[];
  /** Requests in the store's queue; callers that wait in a process's own line are not seen here. */
  readonly waiters: number;
  /** The first of them, in their order: {@link MOST_SHOWN} at most. */
  readonly queue: readonly WaiterState[];
}

export interface HolderState {
  /** Its request's id. */
  readonly id: string;
  readonly token: number;
  readonly mode: LeaseMode;
  /** Milliseconds since the grant, as far as the store knows. */
  readonly age: number;
  /** Milliseconds until the lease ends if nobody renews it. */
  readonly remaining: number;
}

export interface WaiterState {
  /** Its request's id. */
  readonly id: string;
  readonly mode: LeaseMode;
  /** Milliseconds since it joined the queue. */
  readonly age: number;
}

/** So many waiters are shown of a key. */
export const MOST_SHOWN = 100;
