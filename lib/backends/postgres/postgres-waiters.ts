import { alarm, Deadline } from '../../time/clock.js';
import { Register } from '../../structures/register.js';
import type { Grant, LockRequest } from '../lock-backend.js';
import { StoreRequest } from '../store-request.js';
import { isPassing } from './postgres-errors.js';
import type { Beat, PostgresStore } from './postgres-store.js';
import type { Seen } from './scripts/functions.js';

/** How long a lease that was handed over lives before its first renewal: CLAIM in 3-steps.sql. */
const CLAIM = 2_000;

/** Between two signs of life, in milliseconds: of who is told of its grants, and of who only looks. */
const [TOLD, LOOKING] = [1_250, 1_000];

/** Between the looks of two neighbours in the queue at a lock whose holder seems to have died, in milliseconds. */
const STAGGER = 50;

/** After a look for so many requests there is none for a millisecond: each goes through all of them. */
const PER_MILLISECOND = 50;

/** Few enough waiters for a call that does not hold up the others at the server. */
const BATCH = 1_000;

export interface PostgresWaitersContext {
  readonly store: PostgresStore;
  /** Whether messages to this process are heard. */
  readonly listens: () => boolean;
  readonly toBackendError: (error: unknown) => Error;
  /** Asks for the lock again, for a request that lost its place; settles it in the end. */
  readonly askAgain: (request: StoreRequest) => void;
  /** For a request that is settled: sees to it that nothing of it stays at the server. */
  readonly end: (request: StoreRequest) => void;
}

/** What a message says of a grant. */
export type GrantMessage = readonly [
  server: string,
  now: number,
  token: number,
  life: number,
  reserved: number,
];

/**
 * The requests that have no answer yet, or that wait: told of their grants by messages, and kept alive by
 * one heartbeat for all, which also finds what a lost message would have told.
 */
export class PostgresWaiters {
  readonly #requests = new Register<StoreRequest>();
  /** Requests that were granted while an earlier try of theirs may still run at the server. */
  readonly #strays = new Map<string, StoreRequest>();
  #alarm: { readonly at: Deadline; off(): void } | undefined;
  #nextBeat = Deadline.in(0);
  #noLookBefore = Deadline.in(0);
  #beating = false;
  #closed = false;

  constructor(private readonly context: PostgresWaitersContext) {}

  /** Registers a request before it is sent: its grant may overtake the reply that says that it waits. */
  add(asked: LockRequest): StoreRequest {
    const request = new StoreRequest(asked);
    this.#requests.add(request);
    return request;
  }

  /** A request of which something may still be at the server, apart from a lease that is held. */
  find(id: string): StoreRequest | undefined {
    return this.#requests.find(id) ?? this.#strays.get(id);
  }

  forget({ id }: StoreRequest): void {
    this.#requests.delete(id);
    this.#strays.delete(id);
  }

  /** The request has its grant: by whatever way it came. */
  settle(request: StoreRequest, grant: Grant): void {
    this.forget(request);
    for (const [id, stray] of this.#strays) {
      if (stray.stray === undefined) this.#strays.delete(id);
    }
    if (request.stray !== undefined) this.#strays.set(request.id, request);
    request.grant(grant);
  }

  /** The server queued it at a place from 0, behind a lease of so many milliseconds. */
  stand(request: StoreRequest, remaining: number, place: number): void {
    if (this.#requests.size === 1) this.#nextBeat = this.#nextSign();
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

  hearGrant(id: string, [server, now, token, ttl, reserve]: GrantMessage): void {
    const request = this.#requests.find(id);
    if (request === undefined) return;
    // It may come from another server than the one that is asked: that one knows what is true.
    const since = this.context.store.momentOf(server, now);
    if (since === undefined) this.#again(request);
    else this.#accept(request, { token, since, ttl, reserve });
  }

  /** Takes a grant that was not the answer to a question, unless it is over or nearly: then asks again. */
  #accept(request: StoreRequest, grant: Omit<Grant, 'state' | 'guard'>): void {
    if (request.isSettled()) return;
    const left = grant.ttl - grant.since.elapsed;
    const fresh = left > Math.min(request.asked.ttl, CLAIM) / 2 && !request.isBroken(grant.token);
    if (fresh) this.settle(request, this.context.store.grant(request.asked, grant));
    else this.#again(request);
  }

  #again(request: StoreRequest): void {
    request.askAgain();
    this.context.askAgain(request);
  }

  #place(request: StoreRequest, remaining: number, place: number): void {
    // The first looks first; those behind a moment later, in case it died as well.
    request.free = Deadline.in(remaining + 1 + STAGGER * place);
  }

  #nextSign(): Deadline {
    return Deadline.in(this.context.listens() ? TOLD : LOOKING);
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
    this.#beating = true;
    let due = this.#requests.values().filter(({ queued }) => queued);
    if (this.#nextBeat.passed) this.#nextBeat = this.#nextSign();
    else due = due.filter(({ free }) => free?.passed);
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
  async #look(requests: readonly StoreRequest[]): Promise<void> {
    const { end, store, toBackendError } = this.context;
    let beat: Beat;
    try {
      beat = await store.heartbeat(requests.map(({ asked }) => asked));
    } catch (error) {
      // What passes by itself is mended by the next heartbeat.
      if (isPassing(error)) return;
      for (const request of requests) {
        request.refuse(toBackendError(error));
        end(request);
      }
      return;
    }
    requests.forEach((request, index) => {
      // Meanwhile a message may have come, or a withdrawal.
      if (!request.queued) return;
      const [state, first, second]: Seen = beat.seen[index] ?? ['dropped'];
      if (state === 'granted') {
        this.#accept(request, { token: first, since: beat.before, ttl: second });
      } else if (state === 'waiting') {
        this.#place(request, first, second);
      } else {
        this.#again(request);
      }
    });
  }
}
