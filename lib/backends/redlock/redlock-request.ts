import type { Deadline } from '../../time/clock.js';
import type { Answer, Grant, LockRequest } from '../lock-backend.js';

/** What this process knows of one request that has no lease yet. */
export class RedlockRequest {
  readonly granted: Promise<Grant>;
  readonly #grant: (grant: Grant) => void;
  readonly #refuse: (error: unknown) => void;
  #settled = false;

  /** Nobody wants it any more. */
  over = false;
  /** The greatest ticket that a node gave it, or 0. */
  ticket = 0;
  /** Whether a majority has it in the queue. */
  queued = false;
  /** The round that is under way; and whether another is to follow, as things have changed since. */
  asking: Promise<Answer> | undefined;
  again = false;
  /** How many rounds there were. */
  rounds = 0;
  /** Which nodes have told that the lock is free there. */
  readonly told = new Set<object>();
  /** How often in a row the votes were split. */
  splits = 0;
  /** When to look, without being told. */
  free: Deadline | undefined;

  constructor(readonly asked: LockRequest) {
    let grant!: (grant: Grant) => void;
    let refuse!: (error: unknown) => void;
    this.granted = new Promise((resolve, reject) => {
      grant = resolve;
      refuse = reject;
    });
    // Whoever waits for it hears of it; when nobody does, it is nobody's concern.
    this.granted.catch(() => undefined);
    this.#grant = grant;
    this.#refuse = refuse;
  }

  get id(): string {
    return this.asked.id;
  }

  /** A method, as it changes while others are awaited, which the compiler does not see of a getter. */
  isSettled(): boolean {
    return this.#settled || this.over;
  }

  grant(grant: Grant): void {
    this.#settled = true;
    this.#grant(grant);
  }

  refuse(error: unknown): void {
    this.#settled = true;
    this.#refuse(error);
  }
}
