import {
  type Grant,
  isAlone,
  type LeaseIdentity,
  type LeaseMode,
  type LockRequest,
} from '../backends/lock-backend.js';
import { LockBackendError, LockLostError, type LockLostReason } from '../errors/index.js';
import { Deadline, type Instant } from '../time/clock.js';
import { Holding, type HoldingTerms } from './holding.js';
import type { Renewer } from './renewer.js';
import { Upkeep, type Upheld } from './upkeep.js';

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
export class Lease implements LeaseIdentity, Upheld {
  readonly id: string;
  readonly key: string;
  readonly guard: Grant['guard'];
  /** Not later than the grant. */
  readonly since: Instant;
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
  #holding: LeaseHolding;
  /** Until when it may be handed over within this process. */
  #handOvers: Deadline | undefined;

  readonly #upkeep: Upkeep;
  #lost: LockLostError | undefined;
  #ended = false;

  /** @param validity until when it may be believed in: it must not have passed */
  constructor(
    request: LockRequest,
    grant: Grant,
    validity: Deadline,
    terms: HoldingTerms,
    renewer: Renewer,
    private readonly whenLost: (lease: Lease, why: LockLostError) => void,
  ) {
    this.id = request.id;
    this.key = request.key;
    this.guard = grant.guard;
    const { reserve = 0, since, token } = grant;
    this.since = since;
    this.limit = terms.limit;
    this.#mode = terms.mode;
    this.#kept = keptBy(terms);
    this.#firstToken = token;
    this.#reserve = reserve;
    this.#holding = new Holding(this, token, terms);
    const passable = reserve > 0 && isPassable(terms);
    this.#handOvers = passable ? new Deadline(since, LOCAL_SPAN) : undefined;
    const { ttl, renew } = terms;
    const claim = grant.ttl < ttl ? grant.ttl : undefined;
    this.#upkeep = new Upkeep(this, { ttl, renew, validity, claim }, renewer);
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

  get holding(): LeaseHolding {
    return this.#holding;
  }

  /** Milliseconds: what each renewal asks for. */
  get ttl(): number {
    return this.#upkeep.ttl;
  }

  /** Milliseconds for which it may be believed in without a renewal. */
  get remaining(): number {
    return this.lost === undefined ? this.#upkeep.remaining : 0;
  }

  /** When its holder may not go on, however well it is. */
  get bound(): Deadline | undefined {
    return this.#holding.maxHold;
  }

  get isOver(): boolean {
    return this.#ended || this.lost !== undefined;
  }

  /** Why it ended before it was given back. Looks at the clock: what is over is lost from this moment on. */
  get lost(): LockLostError | undefined {
    if (!this.#ended && this.#lost === undefined) {
      const { verdict } = this.#upkeep;
      if (verdict !== undefined) this.lose(verdict, this.#upkeep.trouble);
    }
    return this.#lost;
  }

  notOwned(): void {
    if (!this.isOver) this.lose('stolen');
  }

  lose(reason: LockLostReason, cause?: unknown): void {
    if (this.#ended || this.#lost !== undefined) return;
    this.#lost = new LockLostError(this.key, reason, cause === undefined ? undefined : { cause });
    this.#upkeep.stop();
    this.whenLost(this, this.#lost);
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
      this.#upkeep.goesOn &&
      ttl === this.ttl &&
      this.passableFor > 0 &&
      this.#upkeep.trouble === undefined &&
      this.lost === undefined
    );
  }

  /** Whether it was granted after the lease of this token. */
  isSince(token: number): boolean {
    return this.#firstToken > token;
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
  passTo(terms: HoldingTerms): LeaseHolding {
    const before = this.#holding.maxHold;
    this.#holding = new Holding(this, this.#firstToken + ++this.#handedOver, terms);
    this.#holding.handoff = 'local';
    if (this.#holding.maxHold !== before) this.#upkeep.replan();
    return this.#holding;
  }

  /** Until here it was only kept for its holder, whose terms begin now. */
  begin(terms: HoldingTerms): void {
    this.#kept = keptBy(terms);
    if (!isPassable(terms)) this.#handOvers = undefined;
    this.#holding.limit(terms.maxHold);
    if (!terms.renew || terms.maxHold !== undefined) this.#upkeep.change(terms.renew);
  }

  /** It is given back: no renewal and no loss from here on. */
  end(): void {
    this.#ended = true;
    this.#upkeep.stop();
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
  async renew(ttl = this.ttl): Promise<void> {
    const holding = this.#holding;
    holding.assertHeld();
    const failure = await this.#upkeep.renew(ttl);
    holding.assertHeld();
    if (failure !== undefined) {
      throw new LockBackendError(`Lock "${this.key}" could not be renewed`, this.key, {
        cause: failure,
      });
    }
    this.#upkeep.replan();
  }
}

/** A holding of a lease of this process. */
export type LeaseHolding = Holding<Lease>;

/** Whether those who hold a lock on these terms may have it one from the other. */
function isPassable(terms: HoldingTerms): boolean {
  return isAlone(terms) && terms.minHold === 0;
}

/** Until when a key stays taken that is held on these terms from now on. */
function keptBy({ minHold }: HoldingTerms): Deadline | undefined {
  return minHold === 0 ? undefined : Deadline.in(minHold);
}
