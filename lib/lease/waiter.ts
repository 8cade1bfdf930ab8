import { setMaxListeners } from 'node:events';
import type { LockRequest } from '../backends/lock-backend.js';
import { alarm, Deadline } from '../clock.js';
import type { Lease, LeaseTerms } from './lease.js';
import type { Line } from './line.js';

/** What a caller wants: a key, the terms to hold it on, and for how long to queue. */
export interface Wish extends LeaseTerms {
  readonly key: string;
  /** Milliseconds; 0 for one attempt. */
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
}

/** A caller that wants a lock. It settles exactly once: with its lease, or with why there is none. */
export class Waiter {
  /** What was asked of the backend, and may have to be withdrawn there. */
  request: LockRequest | undefined;
  #settled = false;
  readonly #answersBefore: number;
  readonly #cameToBusy: boolean;
  #disarm: (() => void) | undefined;
  #stopListening: (() => void) | undefined;

  constructor(
    readonly wish: Wish,
    readonly line: Line,
    private readonly resolve: (lease: Lease) => void,
    private readonly reject: (reason: unknown) => void,
  ) {
    this.#answersBefore = line.answers;
    this.#cameToBusy = line.queued;
  }

  /** Whether the caller has its answer already, so that a grant would be nobody's. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Whether the backend is known to have said, since this caller came, that others hold the lock. */
  get heardBusy(): boolean {
    return this.#cameToBusy || this.line.queued || this.line.answers > this.#answersBefore;
  }

  /** Calls `outOfTime` after `patience` milliseconds, and `aborted` when the caller's signal says so. */
  bound(patience: number, outOfTime: () => void, aborted: (reason: unknown) => void): void {
    if (patience !== Infinity) this.#disarm = alarm(Deadline.in(patience), outOfTime, true);
    const { signal } = this.wish;
    if (signal !== undefined) {
      const listener = () => {
        aborted(signal.reason);
      };
      // One signal may well end many waits; Node would warn of a leak.
      setMaxListeners(0, signal);
      signal.addEventListener('abort', listener, { once: true });
      this.#stopListening = () => {
        signal.removeEventListener('abort', listener);
      };
    }
  }

  grant(lease: Lease): void {
    this.#settle();
    this.resolve(lease);
  }

  fail(reason: unknown): void {
    this.#settle();
    this.reject(reason);
  }

  #settle(): void {
    this.#settled = true;
    this.#disarm?.();
    this.#stopListening?.();
  }
}
