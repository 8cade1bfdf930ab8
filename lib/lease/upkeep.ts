import type { LeaseRenewal } from '../backends/lock-backend.js';
import type { LockLostReason } from '../errors/index.js';
import { type Link, leave } from '../structures/chain.js';
import { Alarm, Deadline } from '../time/clock.js';
import type { Renewable, Renewal, Renewer } from './renewer.js';
import type { Traveller } from './rounds.js';

/** What is to be kept up. */
export interface Upheld extends Omit<LeaseRenewal, 'ttl'> {
  /** Whether it was given back or lost; looks at the clock. */
  readonly isOver: boolean;
  /** When it ends, however well it is kept up. */
  readonly bound: Deadline | undefined;
  /** The backend says that it is not ours any more. */
  notOwned(): void;
}

/** How a lease is to be kept up, from its grant on. */
export interface UpkeepTerms {
  readonly ttl: number;
  readonly renew: boolean;
  /** Until when it may be believed in: it must not have passed. */
  readonly validity: Deadline;
  /** A hand-off grants a short claim, so long: it is renewed to the full ttl once, also without `renew`. */
  readonly claim: number | undefined;
}

/**
 * Keeps a lease valid, and knows for how long it is.
 *
 * While all is well it is renewed with others in rounds. It is renewed on its own while it is a claim,
 * or when a renewal failed or is late, until one is answered well; and not at all without `renew`. It
 * has the lease look at the clock when its time is over.
 */
export class Upkeep implements Renewable {
  #ttl: number;
  #renew: boolean;
  #claim: number | undefined;
  #validity: Deadline;
  /** When it is renewed on its own. */
  #nextRenewal: Deadline | undefined;
  /** Until when an unanswered renewal is waited for before the next one is sent. */
  #unanswered: Deadline | undefined;
  #trouble: unknown;
  /** Its place in a round, while it is renewed with others. */
  #travelling: Link<Traveller> | undefined;
  /** For what it must see to itself. */
  #alarm: Alarm | undefined;

  constructor(
    private readonly lease: Upheld,
    { ttl, renew, validity, claim }: UpkeepTerms,
    private readonly renewer: Renewer,
  ) {
    this.#ttl = ttl;
    this.#renew = renew;
    this.#claim = claim;
    this.#validity = validity;
    if (claim !== undefined) this.#send(Deadline.in(claim / 3));
    this.#arm();
  }

  /** Milliseconds: what each renewal asks for. */
  get ttl(): number {
    return this.#ttl;
  }

  /** Whether it goes on until it is stopped. */
  get goesOn(): boolean {
    return this.#renew;
  }

  /** Milliseconds for which the lease may be believed in without a renewal. */
  get remaining(): number {
    return this.#validity.remaining;
  }

  get used(): number {
    return this.#validity.used;
  }

  /** What went wrong with the last renewal. */
  get trouble(): unknown {
    return this.#trouble;
  }

  /** Why the lease is over, if it is by the clock. */
  get verdict(): LockLostReason | undefined {
    if (this.lease.bound?.passed) return 'maxHold';
    if (!this.#validity.passed) return undefined;
    return this.#trouble !== undefined || this.#unanswered !== undefined ? 'backend' : 'expired';
  }

  /** Whether it is to go on, from now on. */
  change(renew: boolean): void {
    this.#renew = renew;
    if (!this.#renewsItself) this.#nextRenewal = undefined;
    this.replan();
  }

  /** Renews at once. The error when the backend did not answer. */
  async renew(ttl: number): Promise<unknown> {
    this.#ttl = ttl;
    return new Promise<unknown>((resolve) => {
      this.#send(Deadline.in(ttl / 3), resolve);
    });
  }

  due(patience: Deadline): void {
    if (this.lease.isOver) return;
    const late = this.#unanswered !== undefined;
    this.#send(patience);
    // It has its answer before its next round, or else looks after itself from then on.
    if (late) this.replan();
  }

  renewed(validity: Deadline): void {
    // Before anything is believed: a reply that comes after the end must not revive the lease.
    const { isOver } = this.lease;
    this.#answered();
    if (isOver) return;
    this.#claim = undefined;
    this.#nextRenewal = undefined;
    // Renewals never shorten a lease, so that of two answers the longer holds.
    if (this.#validity.earliest(validity) === this.#validity) this.#validity = validity;
    if (this.#travelling === undefined) this.replan();
  }

  notOwned(): void {
    this.lease.notOwned();
    this.#answered();
  }

  unanswered({ asked, patience }: Renewal, error: unknown): void {
    if (this.#unanswered === patience) this.#unanswered = undefined;
    this.#trouble = error;
    if (this.#renewsItself) this.#nextRenewal = Deadline.in(retryDelay(asked.ttl));
    this.replan();
  }

  /** Plans anew what is next, as something else may be now. */
  replan(): void {
    this.stop();
    if (!this.lease.isOver) this.#arm();
  }

  stop(): void {
    this.#alarm?.off();
    if (this.#travelling !== undefined) leave(this.#travelling);
    this.#alarm = this.#travelling = undefined;
  }

  get #renewsItself(): boolean {
    return this.#renew || this.#claim !== undefined;
  }

  /**
   * Whether it is renewed with the others. For that it must be valid until the round after the next
   * one, where it would look after itself if the next renewal were not answered.
   */
  get #travels(): boolean {
    return (
      this.#renew &&
      this.#claim === undefined &&
      this.#unanswered === undefined &&
      this.#trouble === undefined &&
      this.#validity.remaining > (2 / 3) * this.#ttl
    );
  }

  #answered(): void {
    this.#unanswered = undefined;
    this.#trouble = undefined;
  }

  #send(patience: Deadline, settled?: (failure?: unknown) => void): void {
    const { id, key, token, mode, limit } = this.lease;
    this.#unanswered = patience;
    if (this.#renewsItself) this.#nextRenewal = patience;
    const asked = { id, key, token, mode, limit, ttl: this.#ttl };
    this.renewer.renew({ asked, patience, lease: this, settled }, this.#claim !== undefined);
  }

  #arm(): void {
    let next = this.lease.bound;
    if (this.#travels) {
      this.#nextRenewal = undefined;
      this.#travelling = this.renewer.join(this);
    } else {
      if (this.#renew) this.#nextRenewal ??= Deadline.in(this.#ttl / 3);
      next = this.#validity.earliest(this.#nextRenewal).earliest(next);
    }
    if (next !== undefined) this.#alarm = new Alarm(next, () => this.#ring());
  }

  #ring(): void {
    if (!this.lease.isOver && this.#nextRenewal?.passed) {
      this.#send(Deadline.in((this.#claim ?? this.#ttl) / 3));
    }
    this.replan();
  }
}

function retryDelay(ttl: number): number {
  return Math.min(500, ttl / 20) * (0.5 + Math.random());
}
