import type { Grant, LeaseIdentity, LockGuard, LockRequest } from '../backends/lock-backend.js';
import { LockBackendError, LockLostError, type LockLostReason } from '../errors/index.js';
import { alarm, Deadline, type Instant } from '../clock.js';
import type { Renewer } from './renewer.js';

/**
 * What became of a release: `released`; `unconfirmed` when the backend did not answer in time
 * (the release is tried on, and the lease ends by itself at its ttl); or why the lock had been
 * lost before.
 */
export type ReleaseOutcome = 'released' | 'unconfirmed' | LockLostReason;

/** What a holder asked for. */
export interface LeaseTerms {
  readonly ttl: number;
  readonly renew: boolean;
  readonly maxHold: number | undefined;
}

/** How much of a ttl is given up for clocks that run at slightly different rates. */
export function margin(ttl: number): number {
  return Math.max(2, ttl / 100);
}

/**
 * The time-bounded right to one key, as this process may believe in it.
 *
 * It is valid until `since + ttl - margin`, where `since` is a moment before the request was sent:
 * so it ends here before it ends at the backend. Once lost it stays lost; no late reply revives it.
 */
export class Lease implements LeaseIdentity {
  readonly id: string;
  readonly key: string;
  readonly token: number;
  /** What makes a transaction of the user's at the store succeed only under this lease. */
  readonly guard: LockGuard | undefined;
  #ttl: number;
  #validity: Deadline;
  readonly #hold: Deadline | undefined;
  readonly #keepRenewing: boolean;
  /** A hand-off grants a short claim, so long: it is renewed to the full ttl once, also when `renew` is false. */
  #claim: number | undefined;

  /** Reentrant holders that share it. */
  #holders = 1;
  #lost: LockLostError | undefined;
  #ended = false;
  #abort: AbortController | undefined;
  #notice: LockLostError | undefined;

  #nextRenewal: Deadline | undefined;
  /** Until when an unanswered renewal is waited for before the next one is sent. */
  #unanswered: Deadline | undefined;
  #trouble: unknown;
  #disarm: () => void = () => undefined;

  constructor(
    request: LockRequest,
    grant: Grant,
    terms: LeaseTerms,
    private readonly renewer: Renewer,
  ) {
    this.id = request.id;
    this.key = request.key;
    this.token = grant.token;
    this.guard = grant.guard;
    this.#ttl = terms.ttl;
    this.#keepRenewing = terms.renew;
    this.#hold = terms.maxHold === undefined ? undefined : Deadline.in(terms.maxHold);
    this.#claim = grant.ttl < terms.ttl ? grant.ttl : undefined;
    this.#validity = new Deadline(grant.since, grant.ttl - margin(grant.ttl));
    if (this.#validity.passed) return;
    if (this.#claim !== undefined) void this.#renewNow();
    else this.#planRenewal();
    this.#arm();
  }

  /** Milliseconds: what each renewal asks for. */
  get ttl(): number {
    return this.#ttl;
  }

  get held(): boolean {
    if (this.#ended) return false;
    this.#judge();
    return this.#lost === undefined;
  }

  get remaining(): number {
    if (!this.held) return 0;
    return Math.min(this.#validity.remaining, this.#hold?.remaining ?? Infinity);
  }

  /** Why it ended before it was released. */
  get lost(): LockLostError | undefined {
    if (!this.#ended) this.#judge();
    return this.#lost;
  }

  get signal(): AbortSignal {
    if (!this.#ended) this.#judge();
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      const reason = this.#lost ?? this.#notice;
      if (reason !== undefined) this.#abort.abort(reason);
    }
    return this.#abort.signal;
  }

  assertHeld(): void {
    if (!this.held) throw this.#lost ?? new LockLostError(this.key, 'expired');
  }

  /** Aborts the holder's signal while the lease goes on: it is asked to finish. */
  notify(reason: LockLostReason): void {
    if (this.#ended || this.#lost !== undefined) return;
    this.#notice = new LockLostError(this.key, reason);
    this.#abort?.abort(this.#notice);
  }

  lose(reason: LockLostReason, cause?: unknown): void {
    if (this.#ended || this.#lost !== undefined) return;
    this.#lost = new LockLostError(this.key, reason, cause === undefined ? undefined : { cause });
    this.#disarm();
    this.#abort?.abort(this.#lost);
  }

  /** Another holder of the same async context enters. */
  share(): void {
    this.#holders++;
  }

  /**
   * A holder is done with it. True when it was the last: no renewal and no loss is told from here on.
   */
  leave(): boolean {
    if (--this.#holders > 0) return false;
    if (!this.#ended) this.#judge();
    this.#ended = true;
    this.#disarm();
    return true;
  }

  /** The backend says at the release that it was gone already. */
  endedAsStolen(): void {
    this.#lost ??= new LockLostError(this.key, 'stolen');
    this.#abort?.abort(this.#lost);
  }

  /** Renews at once, with a new ttl if one is given. */
  async renew(ttl = this.#ttl): Promise<void> {
    this.assertHeld();
    this.#ttl = ttl;
    const failure = await this.#renewNow();
    this.assertHeld();
    if (failure !== undefined) {
      throw new LockBackendError(`Lock "${this.key}" could not be renewed`, this.key, {
        cause: failure,
      });
    }
    this.#rearm();
  }

  get #renewsItself(): boolean {
    return this.#keepRenewing || this.#claim !== undefined;
  }

  /** Looks at the clock, so that what is over is lost from this moment on. */
  #judge(): void {
    if (this.#hold?.passed) {
      this.lose('maxHold');
    } else if (this.#validity.passed) {
      const unreachable = this.#trouble !== undefined || this.#unanswered !== undefined;
      this.lose(unreachable ? 'backend' : 'expired', this.#trouble);
    }
  }

  #planRenewal(): void {
    this.#nextRenewal = this.#keepRenewing ? Deadline.in(renewalDelay(this.#ttl)) : undefined;
  }

  /** Resolves to the error when the backend did not answer. */
  async #renewNow(): Promise<unknown> {
    const ttl = this.#ttl;
    const patience = Deadline.in((this.#claim ?? ttl) / 3);
    this.#unanswered = patience;
    if (this.#renewsItself) this.#nextRenewal = patience;
    let since: Instant | undefined;
    try {
      since = await this.renewer.renew(
        { id: this.id, key: this.key, token: this.token, ttl },
        this.#claim !== undefined,
      );
    } catch (error) {
      if (this.#unanswered === patience) this.#unanswered = undefined;
      this.#trouble = error;
      if (this.#renewsItself) this.#nextRenewal = Deadline.in(retryDelay(ttl));
      this.#rearm();
      return error;
    }
    if (this.#ended) return;
    // Before anything is believed: a reply that comes after the end must not revive the lease.
    this.#judge();
    this.#unanswered = undefined;
    this.#trouble = undefined;
    if (since === undefined) {
      this.lose('stolen');
    } else if (this.#lost === undefined) {
      this.#claim = undefined;
      // Renewals never shorten a lease, so that of two answers the longer holds.
      const validity = new Deadline(since, ttl - margin(ttl));
      if (validity.remaining > this.#validity.remaining) this.#validity = validity;
      this.#planRenewal();
      this.#rearm();
    }
  }

  #rearm(): void {
    this.#disarm();
    if (!this.#ended && this.#lost === undefined) this.#arm();
  }

  #arm(): void {
    const next = Math.min(
      this.#validity.remaining,
      this.#hold?.remaining ?? Infinity,
      this.#nextRenewal?.remaining ?? Infinity,
    );
    this.#disarm = alarm(Deadline.in(next), () => {
      if (this.held && this.#nextRenewal?.passed) void this.#renewNow();
      this.#rearm();
    });
  }
}

/** A third of the ttl, drawn to a common grid so that the renewals of one process travel together. */
function renewalDelay(ttl: number): number {
  const grid = ttl / 30;
  return ttl / 3 - ((performance.now() + ttl / 3) % grid);
}

function retryDelay(ttl: number): number {
  return Math.min(500, ttl / 20) * (0.5 + Math.random());
}
