import type { Grant, LeaseMode, Revocation } from '../backends/lock-backend.js';
import { Alarm, Deadline } from '../time/clock.js';
import { outsideOfContexts } from '../time/timers.js';
import { LockLostError, type LockLostReason } from '../errors/index.js';
import type { Caller } from '../telemetry/caller.js';
import type { Handoff } from '../telemetry/messages.js';

/** What a holder asked for. */
export interface HoldingTerms {
  readonly ttl: number;
  readonly renew: boolean;
  readonly maxHold: number | undefined;
  /** The key stays taken for so many milliseconds from the grant, however early it is given back. */
  readonly minHold: number;
  readonly mode: LeaseMode;
  readonly limit: number;
  /** What it is called where there may be too many keys. */
  readonly template?: string;
  readonly caller?: Caller;
}

/** What a holding has of its lease. */
export interface LeaseInHand {
  readonly key: string;
  readonly guard: Grant['guard'];
  readonly mode: LeaseMode;
  /** Milliseconds for which it may be believed in. */
  readonly remaining: number;
  /** Why it ended before it was given back. */
  readonly lost: LockLostError | undefined;
}

/**
 * One holder's time with a lease: from when it is granted, or handed over by the holder before it in
 * this process, until it is given back. Once lost it stays lost; no late reply revives it.
 */
export class Holding<L extends LeaseInHand = LeaseInHand> {
  #maxHold: Deadline | undefined;
  /** Reentrant holders that share it. */
  #holders = 1;
  #ended = false;
  #lost: LockLostError | undefined;
  #abort: AbortController | undefined;
  /** Who is told of its loss, which the signal does not tell after a notice. */
  #whenLost: (() => void)[] | undefined;
  /** Who waits for its end, by release or loss. */
  #whenOver: (() => void)[] | undefined;
  #notice: LockLostError | undefined;
  /** Aborted when somebody asks for the lock. */
  #revocation: AbortController | undefined;
  #revoked: LockLostError | undefined;
  #grace: Alarm | undefined;
  /** Whence it came, for telemetry. */
  handoff: Handoff = 'none';
  readonly template: string | undefined;
  readonly caller: Caller | undefined;

  constructor(
    readonly lease: L,
    /** Greater than that of every holding of this key before. */
    readonly token: number,
    { maxHold, template, caller }: HoldingTerms,
  ) {
    this.template = template;
    this.caller = caller;
    this.limit(maxHold);
  }

  /** When it may not go on, however well its lease is. */
  get maxHold(): Deadline | undefined {
    return this.#maxHold;
  }

  /** It may be held for so many milliseconds from now. */
  limit(maxHold: number | undefined): void {
    this.#maxHold = maxHold === undefined ? undefined : Deadline.in(maxHold);
  }

  get key(): string {
    return this.lease.key;
  }

  /** What makes a transaction of the user's at the store succeed only under this lease. */
  get guard(): Grant['guard'] {
    return this.lease.guard;
  }

  get mode(): LeaseMode {
    return this.lease.mode;
  }

  /** Whether several reentrant holders have it. */
  get isShared(): boolean {
    return this.#holders > 1;
  }

  get held(): boolean {
    return !this.#ended && this.lease.lost === undefined;
  }

  get remaining(): number {
    if (!this.held) return 0;
    return Math.min(this.lease.remaining, this.#maxHold?.remaining ?? Infinity);
  }

  /** Why it ended before it was released. */
  get lost(): LockLostError | undefined {
    return this.#ended ? this.#lost : this.lease.lost;
  }

  get signal(): AbortSignal {
    const reason = this.lost ?? this.#notice;
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (reason !== undefined) this.#abort.abort(reason);
    }
    return this.#abort.signal;
  }

  /** Whether its holder asked for the signal, and so may go on until it is told to finish. */
  get isWatched(): boolean {
    return this.#abort !== undefined;
  }

  /** Resolves when it is given back or lost. */
  whenOver(): Promise<void> {
    if (!this.held) return Promise.resolve();
    return new Promise((resolve) => (this.#whenOver ??= []).push(resolve));
  }

  get revocation(): AbortSignal {
    if (this.#revocation === undefined) {
      this.#revocation = new AbortController();
      if (this.#revoked !== undefined) this.#revocation.abort(this.#revoked);
    }
    return this.#revocation.signal;
  }

  assertHeld(): void {
    if (!this.held) throw this.lost ?? new LockLostError(this.key, 'expired');
  }

  /** Aborts the holder's signal while the lease goes on: it is asked to finish. */
  notify(reason: LockLostReason): void {
    this.#notify(new LockLostError(this.key, reason));
  }

  /**
   * Somebody asks for the lock: it is told at once, and asked to finish when the grace is over. False
   * when it was told before.
   */
  revoke({ reason, grace }: Revocation): boolean {
    if (!this.held || this.#revoked !== undefined) return false;
    const revoked = new LockLostError(this.key, 'revoked', { cause: new Error(reason) });
    this.#revoked = revoked;
    abort(this.#revocation, revoked);
    this.#grace = Alarm.in(grace, () => this.#notify(revoked));
    return true;
  }

  #notify(reason: LockLostError): void {
    if (!this.held) return;
    this.#notice ??= reason;
    abort(this.#abort, this.#notice);
  }

  /** Its lease was lost. */
  abort(reason: LockLostError): void {
    abort(this.#abort, reason);
    const told = this.#whenLost;
    this.#whenLost = undefined;
    this.#tellOver();
    if (told !== undefined) outsideOfContexts(() => told.forEach((tell) => tell()));
  }

  /** Calls back once when its lease is lost, at once if it is; never after it was given back. */
  onLost(tell: () => void): void {
    if (this.lost !== undefined) tell();
    else (this.#whenLost ??= []).push(tell);
  }

  /** Another holder of the same async context enters. */
  share(): void {
    this.#holders++;
  }

  /** A holder is done with it. True when it was the last: no loss is told from here on. */
  leave(): boolean {
    if (--this.#holders > 0) return false;
    this.#lost = this.lease.lost;
    this.#ended = true;
    this.#grace?.off();
    this.#tellOver();
    return true;
  }

  #tellOver(): void {
    const waiting = this.#whenOver;
    this.#whenOver = undefined;
    waiting?.forEach((resolve) => resolve());
  }

  /** The backend says at the release that it was gone already. */
  endedAsStolen(): LockLostError {
    this.#lost ??= new LockLostError(this.key, 'stolen');
    abort(this.#abort, this.#lost);
    return this.#lost;
  }
}

/** Whoever listens is in none of the contexts of those who ask for the lock, break it, or look at it. */
function abort(controller: AbortController | undefined, reason: LockLostError): void {
  if (controller !== undefined) outsideOfContexts(() => controller.abort(reason));
}
