import { alarm, Deadline, type Instant } from '../../time/clock.js';
import { Register } from '../../structures/register.js';
import type { Grant, LockRequest } from '../lock-backend.js';
import type { Presence } from '../redis-common/presence.js';
import { isPassing, replyError, toBackendError } from '../redis-common/redis-errors.js';
import type { Pulse } from './pulse.js';
import { StoreRequest } from '../store-request.js';
import type { RedisStore } from './redis-store.js';
import type { Seen } from './scripts/calls.js';

/** How long a lease that was handed over lives before its first renewal: CLAIM in _hand-off.lua. */
const CLAIM = 2_000;

/** Between two signs of life, in milliseconds. */
export const HEARTBEAT = 1_250;

/** Between the looks of two neighbours in the queue at a lock whose holder seems to have died, in milliseconds. */
const STAGGER = 50;

/** After a look for so many requests there is none for a millisecond: each goes through all of them. */
const PER_MILLISECOND = 500;

/** Few enough waiters for a call that does not hold up the others at the server. */
const BATCH = 1_000;

export interface RedisWaitersContext {
  readonly store: RedisStore;
  readonly presence: Presence;
  readonly pulse: Pulse;
  /** Whether a grant that was not the answer to a question may be believed. */
  readonly confirm: ((request: StoreRequest, grant: Grant) => Promise<boolean>) | undefined;
  /** Asks for the lock again, for a request that lost its place; settles it in the end. */
  readonly askAgain: (request: StoreRequest) => void;
  /** For a request that is settled: sees to it that nothing of it stays at the server. */
  readonly end: (request: StoreRequest) => void;
}

/**
 * The requests of one bucket that have no answer yet, or that wait: told of their grants by
 * messages on the process's one channel there, and kept alive by one heartbeat for all, which also finds
 * what a lost message would have told.
 */
export class RedisWaiters {
  readonly #requests = new Register<StoreRequest>();
  /** Requests that were granted while an earlier try of theirs may still run at the server. */
  readonly #strays = new Map<string, StoreRequest>();
  #alarm: { readonly at: Deadline; off(): void } | undefined;
  #nextBeat = Deadline.in(0);
  #noLookBefore = Deadline.in(0);
  #beating = false;
  #closed = false;

  constructor(private readonly context: RedisWaitersContext) {}

  /** Registers a request before it is sent: its grant may overtake the reply that says that it waits. */
  add(asked: LockRequest): StoreRequest {
    const request = new StoreRequest(asked);
    this.#requests.add(request);
    return request;
  }

  /** A request of which something may still be at the server, apart from a lease that is held. */
  find(id: string): StoreRequest | undefined {
    return this.#requests.find(id) ?? (this.#strays.size > 0 ? this.#strays.get(id) : undefined);
  }

  forget({ id }: StoreRequest): void {
    this.#requests.delete(id);
    if (this.#strays.size > 0) this.#strays.delete(id);
  }

  /** The request has its grant: by whatever way it came. */
  settle(request: StoreRequest, grant: Grant): void {
    this.forget(request);
    if (this.#strays.size > 0) this.#forgetStrays();
    if (request.stray !== undefined) this.#strays.set(request.id, request);
    request.grant(grant);
  }

  #forgetStrays(): void {
    for (const [id, stray] of this.#strays) {
      if (stray.stray === undefined) this.#strays.delete(id);
    }
  }

  /** The server queued it at a place from 0, behind a lease of so many milliseconds. */
  stand(request: StoreRequest, remaining: number, place: number): void {
    // At once, as long as it is not known whether messages can be believed.
    if (this.context.presence.isUntried) this.#nextBeat = Deadline.in(0);
    else if (this.#requests.size === 1) this.#nextBeat = this.context.pulse.next();
    request.wait();
    this.#place(request, remaining, place);
    this.#planFor(request);
  }

  close(): void {
    this.#closed = true;
    this.#alarm?.off();
    this.#requests.clear();
    this.#strays.clear();
  }

  /** Sends the next heartbeat at once. */
  lookSoon(): void {
    this.#nextBeat = Deadline.in(0);
    this.#plan();
  }

  /**
   * `granted <id> <token> <server time in ms> <ms of life> <reserved tokens>`, or
   * `waiting <id> <ms until the lock may be free>` when that has changed.
   */
  hear(word: string | undefined, id: string, rest: readonly string[]): void {
    const request = this.#requests.find(id);
    if (request === undefined) return;
    if (word === 'granted') {
      this.#hearGrant(request, rest);
    } else if (word === 'waiting' && request.queued) {
      this.#place(request, Number(rest[0]), 0);
      this.#planFor(request);
    }
  }

  #hearGrant(request: StoreRequest, [token, server, life, reserved]: readonly string[]): void {
    const { presence, store } = this.context;
    // It may come from another server than the one that is asked: that one knows what is true.
    const since = presence.proven ? store.momentOf(Number(server)) : undefined;
    if (since === undefined) {
      this.#again(request);
    } else {
      const [ttl, reserve] = [Number(life), Number(reserved)];
      void this.#accept(request, { state: 'granted', token: Number(token), since, ttl, reserve });
    }
  }

  /** Takes a grant that was not the answer to a question, unless it is over or nearly: then asks again. */
  async #accept(request: StoreRequest, grant: Grant): Promise<void> {
    const confirmed = this.context.confirm?.(request, grant);
    const good = confirmed === undefined || (await confirmed.catch(() => false));
    if (request.isSettled()) return;
    const left = grant.ttl - grant.since.elapsed;
    if (good && left > Math.min(request.asked.ttl, CLAIM) / 2) this.settle(request, grant);
    else this.#again(request);
  }

  #again(request: StoreRequest): void {
    request.askAgain();
    this.context.askAgain(request);
  }

  #refuse(request: StoreRequest, error: unknown): void {
    request.refuse(toBackendError(error));
    this.context.end(request);
  }

  #place(request: StoreRequest, remaining: number, place: number): void {
    // The first looks first; those behind a moment later, in case it died as well.
    request.free = remaining < 0 ? undefined : Deadline.in(remaining + 1 + STAGGER * place);
  }

  /** One alarm for all: for the next heartbeat, or for the first lock that may be free before it. */
  #plan(): void {
    this.#alarm?.off();
    this.#alarm = undefined;
    for (const request of this.#requests.values()) if (request.queued) this.#planFor(request);
  }

  /** The alarm is to ring in time for this one as well. */
  #planFor({ free }: StoreRequest): void {
    if (this.#closed || this.#beating) return;
    let at = this.#nextBeat;
    if (free !== undefined && free.remaining < at.remaining) at = free;
    if (at.remaining < this.#noLookBefore.remaining) at = this.#noLookBefore;
    if (this.#alarm !== undefined && this.#alarm.at.remaining <= at.remaining) return;
    this.#alarm?.off();
    const off = alarm(at, () => {
      this.#alarm = undefined;
      void this.#beat();
    });
    this.#alarm = { at, off };
  }

  async #beat(): Promise<void> {
    this.#beating = true;
    let due = this.#requests.values().filter(({ queued }) => queued);
    if (this.#nextBeat.passed) {
      this.#nextBeat = this.context.pulse.next();
    } else {
      due = due.filter(({ free }) => free?.passed);
    }
    // Known anew with each answer: without one, the next heartbeat is early enough to look again.
    for (const request of due) request.free = undefined;
    for (let first = 0; first < due.length; first += BATCH) {
      await this.#look(due.slice(first, first + BATCH));
    }
    this.#noLookBefore = Deadline.in(this.#requests.size / PER_MILLISECOND);
    this.#beating = false;
    this.#plan();
  }

  /** Never rejects. */
  async #look(requests: StoreRequest[]): Promise<void> {
    let before: Instant;
    let seen: readonly Seen[];
    const beaten = this.context.presence.beat();
    try {
      const beat = await this.context.store.heartbeat(requests.map(({ asked }) => asked));
      ({ before, seen } = beat);
      beaten(beat.heard);
    } catch (error) {
      // What passes by itself is mended by the next heartbeat.
      if (!isPassing(error)) for (const request of requests) this.#refuse(request, error);
      return;
    }
    requests.forEach((request, index) => {
      // Meanwhile a message may have come, or a withdrawal.
      if (request.isSettled() || !request.queued) return;
      const [state, first, second] = seen[index] ?? ['dropped'];
      if (state === 'granted' && request.isBroken(first)) {
        this.#again(request);
      } else if (state === 'granted') {
        void this.#accept(request, { state, token: first, since: before, ttl: second });
      } else if (state === 'waiting') {
        this.#place(request, first, second);
      } else if (state === 'failed') {
        this.#refuse(request, replyError(first));
      } else {
        this.#again(request);
      }
    });
  }
}
