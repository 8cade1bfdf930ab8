import type { Duration, LockTemplate } from './lock-options.interface.js';
import type { Lock } from './lock.interface.js';

/** How to stand for a leadership. */
export interface LeaderOptions extends LockTemplate {
  /**
   * How long a term lives without renewal: so long after a leader has crashed the next one is elected.
   * @default the module's ttl
   */
  ttl?: Duration;
}

/** Options of `@LeaderOnly`. */
export interface LeaderOnlyOptions extends LeaderOptions {
  /** The named LockModule instance whose service stands. */
  name?: string;
}

/**
 * The time from an election until the leader steps down or is deposed: the leader's lock, which is
 * not for its user to give back. Its token is greater than that of every term before.
 */
export type LeaderTerm = Pick<
  Lock,
  'key' | 'fencingToken' | 'signal' | 'held' | 'remaining' | 'assertHeld' | 'guard'
>;

/** Who leads. */
export interface LeaderState {
  /** Of its term. */
  readonly fencingToken: number;
  /** Whether it is this process. */
  readonly isSelf: boolean;
}

/** @returns anything; what it throws is logged */
export type LeadershipListener = (term: LeaderTerm) => unknown;

/**
 * This process's part in a leadership: it leads, or waits in line to do so, until it withdraws or
 * the application shuts down. Iterate it for its own terms, each as soon as it is elected:
 *
 * @example
 * for await (const term of locks.leader('reports')) {
 *   await work(term.signal);
 * }
 */
export interface Leadership extends AsyncIterable<LeaderTerm>, AsyncDisposable {
  readonly key: string;
  /** Whether this process surely leads; computed from the clock at each look. */
  readonly isLeader: boolean;
  /** The present term while {@link isLeader}. */
  readonly term: LeaderTerm | undefined;

  /** Calls back at each election of this process, at once if it leads already. Returns what ends that. */
  onElected(listener: LeadershipListener): () => void;

  /**
   * Calls back when a term of this process is over: given back, or lost, in which case what runs under it
   * may still go on. Returns what ends that.
   */
  onDeposed(listener: LeadershipListener): () => void;

  /**
   * Runs `body` if this process leads, and otherwise resolves to undefined at once, as it does from
   * {@link stepDown} and {@link withdraw} on. The term is not given back before `body` has settled, and
   * when it is lost this process stands again only after that. The body runs under the leader's lock:
   * it is `LockService.current()`, and who asks for its key there is refused at once, as under `withLock`.
   * @throws LockLostError when the term was lost before that; an error of the body comes first
   */
  run<T>(body: (term: LeaderTerm) => Promise<T> | T): Promise<T | undefined>;

  /**
   * Who leads, now and after each change; undefined while nobody does. Asks the backend each
   * `every` (default 1 s), as long as it is iterated and this process stands. While the backend cannot
   * be asked, which is logged, nothing is told.
   */
  observe(every?: Duration): AsyncIterable<LeaderState | undefined>;

  /**
   * Gives the leadership back, if this process has it, and stands again behind all who wait. Resolves
   * when what runs under the term has settled: a body must not wait for it.
   */
  stepDown(): Promise<void>;

  /** Gives it back and does not stand again: the iterations end. */
  withdraw(): Promise<void>;
}
