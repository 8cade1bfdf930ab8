import {
  type Grant,
  isAlone,
  type LeaseIdentity,
  type LeaseMode,
  type LockGuard,
  type LockRequest,
} from '../backends/lock-backend.js';
import { LockBackendError, LockLostError, type LockLostReason } from '../errors/index.js';
import { leave } from '../chain.js';
import { Alarm, Deadline } from '../clock.js';
import { Holding, type HoldingTerms } from './holding.js';
import type { Renewable, Renewal, Renewer } from './renewer.js';
import type { Place } from './rounds.js';

/**
 * For so long after its grant a lease may be handed over within this process, in milliseconds: by
 * that much, and the section that begins last, may those who wait elsewhere be delayed.
 */
export const LOCAL_SPAN = 20;

/**
 * The time-bounded right to one key, as this process may believe in it.
 *
 * It is valid until `since + ttl - margin`, where `since` is a moment before the request was sent:
 * so it ends here before it ends at the backend. It has one holder at a time, and may be handed over
 * to the next within the process as long as tokens were reserved for that with its grant.
 */
export class Lease implements LeaseIdentity, Renewable {
  readonly id: string;
  readonly key: string;
  readonly guard: LockGuard | undefined;
  readonly limit: number;
  #mode: LeaseMode;
  /** Whether the backend did not say yet that others may read beside its holder, who asked for that. */
  #downgrading = false;
  /** Until when the key stays taken, also when it is given back before. */
  #kept: Deadline | undefined;
  readonly #firstToken: number;
  /** How many tokens after the first are its own as well, and how many of these it gave. */
  readonly #reserve: number;
  #handedOver = 0;
  #holding: Holding;
  /** Until when it may be handed over within this process. */
  #handOvers: Deadline | undefined;

  #ttl: number;
  #validity: Deadline;
  #keepRenewing: boolean;
  /** A hand-off grants a short claim, so long: it is renewed to the full ttl once, also when `renew` is false. */
  #claim: number | undefined;
  #lost: LockLostError | undefined;
  #ended = false;

  #nextRenewal: Deadline | undefined;
  /** Until when an unanswered renewal is waited for before the next one is sent. */
  #unanswered: Deadline | undefined;
  #trouble: unknown;
  /** Where it is renewed with others, while all is well. */
  #place: Place | undefined;
  /** For what it must see to itself. */
  #alarm: Alarm | undefined;

  /** @param validity until when it may be believed in: it must not have passed */
  constructor(
    request: LockRequest,
    grant: Grant,
    validity: Deadline,
    terms: HoldingTerms,
    private readonly renewer: Renewer,
    private readonly whenLost: (lease: Lease) => void,
  ) {
    this.id = request.id;
    this.key = request.key;
    this.guard = grant.guard;
    const { reserve = 0, since, token } = grant;
    this.limit = terms.limit;
    this.#mode = terms.mode;
    this.#kept = keptBy(terms);
    this.#firstToken = token;
    this.#reserve = reserve;
    this.#holding = new Holding(this, token, terms.maxHold);
    const passable = reserve > 0 && isPassable(terms);
    this.#handOvers = passable ? new Deadline(since, LOCAL_SPAN) : undefined;
    this.#ttl = terms.ttl;
    this.#keepRenewing = terms.renew;
    this.#claim = grant.ttl < terms.ttl ? grant.ttl : undefined;
    this.#validity = validity;
    if (this.#claim !== undefined) this.#sendRenewal(Deadline.in(this.#claim / 3));
    this.#arm();
  }

  get mode(): LeaseMode {
    return this.#mode;
  }

  /** Milliseconds for which the key is to stay taken when it is given back now. */
  get keptFor(): number {
    return Math.ceil(this.#kept?.remaining ?? 0);
  }

  /** The greatest token that it may give. */
  get token(): number {
    return this.#firstToken + this.#reserve;
  }

  get holding(): Holding {
    return this.#holding;
  }

  /** Milliseconds: what each renewal asks for. */
  get ttl(): number {
    return this.#ttl;
  }

  /** Milliseconds for which it may be believed in without a renewal. */
  get remaining(): number {
    return this.lost === undefined ? this.#validity.remaining : 0;
  }

  /** Why it ended before it was given back. */
  get lost(): LockLostError | undefined {
    if (!this.#ended) this.#judge();
    return this.#lost;
  }

  lose(reason: LockLostReason, cause?: unknown): void {
    if (this.#ended || this.#lost !== undefined) return;
    this.#lost = new LockLostError(this.key, reason, cause === undefined ? undefined : { cause });
    this.#disarm();
    this.whenLost(this);
    this.#holding.abort(this.#lost);
  }

  /** Whether, though it is lost, the backend may still keep others out for it. */
  get mayLinger(): boolean {
    const reason = this.#lost?.reason;
    return reason !== 'stolen' && reason !== 'expired';
  }

  /**
   * Whether the next holder may have it without the backend: one who asks for the same life, before
   * tokens or time are over, and while the lease is well.
   */
  mayPassTo(terms: HoldingTerms): boolean {
    const { ttl, renew } = terms;
    return (
      this.#handedOver < this.#reserve &&
      isAlone(this) &&
      isPassable(terms) &&
      renew &&
      this.#keepRenewing &&
      ttl === this.#ttl &&
      this.passableFor > 0 &&
      this.#trouble === undefined &&
      this.lost === undefined
    );
  }

  /** Whether this token is one of those that it gave to its holders. */
  gave(token: number): boolean {
    return token >= this.#firstToken && token <= this.#firstToken + this.#handedOver;
  }

  /** Milliseconds for which it may still be handed over. */
  get passableFor(): number {
    return this.#handOvers?.remaining ?? 0;
  }

  /** Hands it over to the next holder, whose token is greater; the last one has left. */
  passTo({ maxHold }: HoldingTerms): Holding {
    const before = this.#holding.maxHold;
    this.#holding = new Holding(this, this.#firstToken + ++this.#handedOver, maxHold);
    if (this.#holding.maxHold !== before) this.#rearm();
    return this.#holding;
  }

  /** Until here it was only kept for its holder, whose terms begin now. */
  begin(terms: HoldingTerms): void {
    this.#kept = keptBy(terms);
    if (!isPassable(terms)) this.#handOvers = undefined;
    this.#keepRenewing = terms.renew;
    if (!this.#renewsItself) this.#nextRenewal = undefined;
    this.#holding.limit(terms.maxHold);
    if (!terms.renew || terms.maxHold !== undefined) this.#rearm();
  }

  /** It is given back: no renewal and no loss from here on. */
  end(): void {
    this.#ended = true;
    this.#disarm();
  }

  /** Others may read beside its holder from now on; to be asked for until the backend says so. */
  becomeShared(): void {
    this.#mode = 'shared';
    this.#downgrading = true;
  }

  /** The backend lets others read beside its holder. */
  downgraded(): void {
    this.#downgrading = false;
  }

  get isDowngrading(): boolean {
    return this.#downgrading;
  }

  /** Renews at once, with a new ttl if one is given. */
  async renew(ttl = this.#ttl): Promise<void> {
    this.#holding.assertHeld();
    this.#ttl = ttl;
    const holding = this.#holding;
    const failure = await new Promise<unknown>((resolve) => {
      this.#sendRenewal(Deadline.in(ttl / 3), resolve);
    });
    holding.assertHeld();
    if (failure !== undefined) {
      throw new LockBackendError(`Lock "${this.key}" could not be renewed`, this.key, {
        cause: failure,
      });
    }
    this.#rearm();
  }

  due(patience: Deadline): void {
    if (this.#ended || this.lost !== undefined) return;
    const late = this.#unanswered !== undefined;
    this.#sendRenewal(patience);
    // It has its answer before its next round, or else looks after itself from then on.
    if (late) this.#rearm();
  }

  renewed(validity: Deadline): void {
    if (this.#ended) return;
    // Before anything is believed: a reply that comes after the end must not revive the lease.
    this.#judge();
    this.#unanswered = undefined;
    this.#trouble = undefined;
    if (this.#lost !== undefined) return;
    this.#claim = undefined;
    this.#nextRenewal = undefined;
    // Renewals never shorten a lease, so that of two answers the longer holds.
    if (this.#validity.earliest(validity) === this.#validity) this.#validity = validity;
    if (this.#place === undefined) this.#rearm();
  }

  notOwned(): void {
    if (this.#ended) return;
    this.#judge();
    this.#unanswered = undefined;
    this.#trouble = undefined;
    this.lose('stolen');
  }

  unanswered({ asked, patience }: Renewal, error: unknown): void {
    if (this.#unanswered === patience) this.#unanswered = undefined;
    this.#trouble = error;
    if (this.#renewsItself) this.#nextRenewal = Deadline.in(retryDelay(asked.ttl));
    this.#rearm();
  }

  get #renewsItself(): boolean {
    return this.#keepRenewing || this.#claim !== undefined;
  }

  /** Looks at the clock, so that what is over is lost from this moment on. */
  #judge(): void {
    if (this.#holding.maxHold?.passed) {
      this.lose('maxHold');
    } else if (this.#validity.passed) {
      const unreachable = this.#trouble !== undefined || this.#unanswered !== undefined;
      this.lose(unreachable ? 'backend' : 'expired', this.#trouble);
    }
  }

  /**
   * Whether it is renewed with the others. For that it must be valid until the round after the next
   * one, where it would look after itself if the next renewal were not answered.
   */
  get #travels(): boolean {
    return (
      this.#keepRenewing &&
      this.#claim === undefined &&
      this.#unanswered === undefined &&
      this.#trouble === undefined &&
      this.#validity.remaining > (2 / 3) * this.#ttl
    );
  }

  #sendRenewal(patience: Deadline, settled?: (failure?: unknown) => void): void {
    const { id, key, token, mode, limit } = this;
    this.#unanswered = patience;
    if (this.#renewsItself) this.#nextRenewal = patience;
    const asked = { id, key, token, mode, limit, ttl: this.#ttl };
    this.renewer.renew({ asked, patience, lease: this, settled }, this.#claim !== undefined);
  }

  #rearm(): void {
    this.#disarm();
    if (!this.#ended && this.#lost === undefined) this.#arm();
  }

  #disarm(): void {
    this.#alarm?.off();
    if (this.#place !== undefined) leave(this.#place);
    this.#alarm = this.#place = undefined;
  }

  #arm(): void {
    let next = this.#holding.maxHold;
    if (this.#travels) {
      this.#nextRenewal = undefined;
      this.#place = this.renewer.join(this);
    } else {
      if (this.#keepRenewing) this.#nextRenewal ??= Deadline.in(this.#ttl / 3);
      next = this.#validity.earliest(this.#nextRenewal).earliest(next);
    }
    if (next !== undefined) this.#alarm = new Alarm(next, () => this.#ring());
  }

  #ring(): void {
    if (this.lost === undefined && this.#nextRenewal?.passed) {
      this.#sendRenewal(Deadline.in((this.#claim ?? this.#ttl) / 3));
    }
    this.#rearm();
  }
}

/** Whether those who hold a lock on these terms may have it one from the other. */
function isPassable(terms: HoldingTerms): boolean {
  return isAlone(terms) && terms.minHold === 0;
}

/** Until when a key stays taken that is held on these terms from now on. */
function keptBy({ minHold }: HoldingTerms): Deadline | undefined {
  return minHold === 0 ? undefined : Deadline.in(minHold);
}

function retryDelay(ttl: number): number {
  return Math.min(500, ttl / 20) * (0.5 + Math.random());
}
