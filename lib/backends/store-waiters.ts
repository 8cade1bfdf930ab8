import { alarm, Deadline, type Instant } from '../time/clock.js';
import { Register } from '../structures/register.js';
import type { Grant, LockRequest } from './lock-backend.js';
import { StoreRequest } from './store-request.js';

/** How long a lease that was handed over lives before its first renewal, in milliseconds: CLAIM in the scripts. */
const CLAIM = 2_000;

/** Between the looks of two neighbours in the queue at a lock whose holder seems to have died, in milliseconds. */
const STAGGER = 50;

/** Few enough waiters for a call that does not hold up the others at the server. */
const BATCH = 1_000;

/** What a heartbeat tells of one waiter. */
export type Sight =
  | readonly [state: 'granted', token: number, remaining: number]
  | readonly [state: 'waiting', remaining: number, place: number]
  | readonly [state: 'failed', error: unknown]
  | readonly [state: 'dropped'];

/** A grant, as far as the server tells of it. */
export type ToldGrant = Pick<Grant, 'token' | 'since' | 'ttl' | 'reserve'>;

export interface StoreWaitersContext {
  /** Gives a sign of life for each request. Resolves with how they stand, and a moment before it was sent. */
  readonly heartbeat: (
    requests: readonly LockRequest[],
  ) => Promise<{ readonly before: Instant; readonly seen: readonly Sight[] }>;
  /** When the next heartbeat is due. */
  readonly nextBeat: () => Deadline;
  /** Whether who begins to wait looks at once, as it is not known whether messages can be believed. */
  readonly looksAtOnce: () => boolean;
  /** After a look for so many requests there is none for a millisecond: each goes through all of them. */
  readonly looksPerMillisecond: number;
  readonly toGrant: (request: LockRequest, told: ToldGrant) => Grant;
  /** Whether a grant that was not the answer to a question may be believed. */
  readonly confirm?: ((request: StoreRequest, grant: Grant) => Promise<boolean>) | undefined;
  /** Whether what went wrong passes by itself. */
  readonly isPassing: (error: unknown) => boolean;
  readonly toBackendError: (error: unknown) => Error;
  /** Asks for the lock again, for a request that lost its place; settles it in the end. */
  readonly askAgain: (request: StoreRequest) => void;
  /** For a request that is settled: sees to it that nothing of it stays at the server. */
  readonly end: (request: StoreRequest) => void;
}

/**
 * The requests that have no answer yet, or that wait: told of their grants by messages, and kept alive by
 * one heartbeat for all, which also finds what a lost message would have told.
 */
export class StoreWaiters {
  readonly #requests = new Register<StoreRequest>();
  /** Requests that were granted while an earlier try of theirs may still run at the server. */
  readonly #strays = new Map<string, StoreRequest>();
  #alarm: { readonly at: Deadline; off(): void } | undefined;
  #nextBeat = Deadline.in(0);
  #noLookBefore = Deadline.in(0);
  #beating = false;
  #closed = false;

  constructor(private readonly context: StoreWaitersContext) {}

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
    if (this.context.looksAtOnce()) this.#nextBeat = Deadline.in(0);
    else if (this.#requests.size === 1) this.#nextBeat = this.context.nextBeat();
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

  /** A message told of its grant; undefined when it is not known when that was: then the server is asked. */
  hearGrant(id: string, told: ToldGrant | undefined): void {
    const request = this.#requests.find(id);
    if (request === undefined) return;
    if (told === undefined) this.#again(request);
    else void this.#accept(request, told);
  }

  /** A message told that the lock may be free in so many milliseconds. */
  hearRemaining(id: string, remaining: number): void {
    const request = this.#requests.find(id);
    if (request?.queued !== true) return;
    this.#place(request, remaining, 0);
    this.#planFor(request);
  }

  /** Takes a grant that was not the answer to a question, unless it is over or nearly: then asks again. */
  async #accept(request: StoreRequest, told: ToldGrant): Promise<void> {
    const { confirm, toGrant } = this.context;
    const grant = toGrant(request.asked, told);
    const confirmed = confirm?.(request, grant);
    const good = confirmed === undefined || (await confirmed.catch(() => false));
    if (request.isSettled()) return;
    const left = grant.ttl - grant.since.elapsed;
    const fresh = left > Math.min(request.asked.ttl, CLAIM) / 2 && !request.isBroken(grant.token);
    if (good && fresh) this.settle(request, grant);
    else this.#again(request);
  }

  #again(request: StoreRequest): void {
    request.askAgain();
    this.context.askAgain(request);
  }

  #refuse(request: StoreRequest, error: unknown): void {
    if (request.isSettled()) return;
    request.refuse(this.context.toBackendError(error));
    this.context.end(request);
  }

  /** @param remaining negative when it is not known */
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
    let at = this.#nextBeat.earliest(free);
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
    const { looksPerMillisecond, nextBeat } = this.context;
    this.#beating = true;
    let due = this.#requests.values().filter(({ queued }) => queued);
    if (this.#nextBeat.passed) this.#nextBeat = nextBeat();
    else due = due.filter(({ free }) => free?.passed);
    // Known anew with each answer: without one, the next heartbeat is early enough to look again.
    for (const request of due) request.free = undefined;
    for (let first = 0; first < due.length; first += BATCH) {
      await this.#look(due.slice(first, first + BATCH));
    }
    this.#noLookBefore = Deadline.in(this.#requests.size / looksPerMillisecond);
    this.#beating = false;
    this.#plan();
  }

  /** Never rejects. */
  async #look(requests: readonly StoreRequest[]): Promise<void> {
    const { heartbeat, isPassing } = this.context;
    let before: Instant;
    let seen: readonly Sight[];
    try {
      ({ before, seen } = await heartbeat(requests.map(({ asked }) => asked)));
    } catch (error) {
      // What passes by itself is mended by the next heartbeat.
      if (!isPassing(error)) for (const request of requests) this.#refuse(request, error);
      return;
    }
    requests.forEach((request, index) => {
      // Meanwhile a message may have come, or a withdrawal.
      if (!request.queued) return;
      const sight = seen[index] ?? (['dropped'] as const);
      if (sight[0] === 'granted') {
        const [, token, ttl] = sight;
        void this.#accept(request, { token, since: before, ttl });
      } else if (sight[0] === 'waiting') {
        const [, remaining, place] = sight;
        this.#place(request, remaining, place);
      } else if (sight[0] === 'failed') {
        this.#refuse(request, sight[1]);
      } else {
        this.#again(request);
      }
    });
  }
}
