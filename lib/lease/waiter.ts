import { setMaxListeners } from 'node:events';
import type { LockRequest } from '../backends/lock-backend.js';
import type { Link } from '../structures/chain.js';
import { Alarm } from '../time/clock.js';
import type { HoldingTerms } from './holding.js';
import type { LeaseHolding } from './lease.js';
import type { Line } from './line.js';

/** The one attempt of `wait: 0` may take this long at a backend that hangs, in milliseconds. */
export const ATTEMPT_PATIENCE = 2_000;

/** What a caller wants: the terms to hold a lock on, and for how long to queue for it. */
export interface Wish extends HoldingTerms {
  /** Milliseconds; 0 for one attempt. */
  readonly wait: number;
  /** How long the one attempt may take, in milliseconds, where the caller has less time than usual. */
  readonly attempt?: number;
  /** Whether the caller goes on to wait when that one attempt was in vain. */
  readonly waitsThen?: boolean;
  readonly signal: AbortSignal | undefined;
  /** Called when it is known that others hold the key, as often as that is heard. */
  readonly whenWaiting?: (key: string) => void;
  /** Of the span of who asks, for who will wait for it: goes to the store with the request. */
  readonly traceparent?: string;
}

/** The lock that a caller runs under, of whichever service. */
export interface HeldByCaller {
  /** Whether it was given back. */
  readonly released: boolean;
}

/** @param aborted the caller's signal, when that is why */
export type GiveUp = (waiter: Waiter, aborted?: AbortSignal) => void;

/** A caller that wants a lock. It settles exactly once: with its holding, or with why there is none. */
export class Waiter {
  /** What was asked of the backend, and may have to be withdrawn there. */
  request: LockRequest | undefined;
  /** Whether that stands, or stood, in the backend's queue. */
  queued = false;
  /** In its {@link Line}, which keeps it. */
  standing: Link<Waiter> | undefined;
  /** Among all that wait. */
  presence: Link<Waiter> | undefined;
  #settled = false;
  readonly #answersBefore: number;
  readonly #cameToBusy: boolean;
  #alarm: Alarm | undefined;
  #stopListening: (() => void) | undefined;

  constructor(
    readonly key: string,
    readonly wish: Wish,
    readonly line: Line<Waiter>,
    private readonly resolve: (holding: LeaseHolding) => void,
    private readonly reject: (reason: unknown) => void,
    private readonly outer: HeldByCaller | undefined,
  ) {
    this.#answersBefore = line.answers;
    this.#cameToBusy = line.queued || line.lease !== undefined;
  }

  /** Whether the caller has its answer already, so that a grant would be nobody's. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Whether its caller holds a lock, and so may need this one to finish. */
  get isHolders(): boolean {
    return this.outer?.released === false;
  }

  /** When the caller has its answer at the latest, in milliseconds from the call. */
  get longest(): number {
    return this.wish.wait || (this.wish.attempt ?? ATTEMPT_PATIENCE);
  }

  /** Whether it is known since this caller came that others hold the lock. */
  get heardBusy(): boolean {
    return this.#cameToBusy || this.line.queued || this.line.answers > this.#answersBefore;
  }

  /** Calls `giveUp` when the longest is over, or with its reason when the caller's signal aborts. */
  bound(giveUp: GiveUp): void {
    this.#alarm = Alarm.in(this.longest, () => giveUp(this), true);
    const { signal } = this.wish;
    if (signal !== undefined) {
      const listener = () => {
        giveUp(this, signal);
      };
      expectMany(signal);
      signal.addEventListener('abort', listener, { once: true });
      this.#stopListening = () => {
        signal.removeEventListener('abort', listener);
      };
    }
  }

  grant(holding: LeaseHolding): void {
    this.#settle();
    this.resolve(holding);
  }

  fail(reason: unknown): void {
    this.#settle();
    this.reject(reason);
  }

  #settle(): void {
    this.#settled = true;
    this.#alarm?.off();
    this.#stopListening?.();
  }
}

/** One signal may well end many waits; Node would warn of a leak. */
function expectMany(signal: AbortSignal): void {
  try {
    setMaxListeners(0, signal);
  } catch {
    // It is not one of Node's, as in jsdom, and warns of nothing.
  }
}
