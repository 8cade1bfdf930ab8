import { alarm, Deadline, Instant, wallTimeIn } from '../../clock.js';
import type {
  Answer,
  Grant,
  KeyState,
  LeaseIdentity,
  LeaseRenewal,
  LockRequest,
  Waiting,
} from '../lock-backend.js';

/** A lease, as the store has it. */
interface Holder {
  readonly id: string;
  readonly token: number;
  ends: Deadline;
}

interface Queued {
  readonly request: LockRequest;
  readonly answer: Waiting;
  grant(grant: Grant): void;
}

/** What is known of one key. */
interface Entry {
  holder: Holder | undefined;
  /** By request id, in the order of arrival. */
  readonly queue: Map<string, Queued>;
  /** Calls off the look at the holder's end, which is planned only while somebody waits. */
  disarm: (() => void) | undefined;
}

/** Sweeping for leases that ended without a release starts at so many keys. */
const SWEEP_FROM = 1_000;

/** The lock protocol in its plainest form: each method is one atomic step. */
export class MemoryStore {
  readonly #entries = new Map<string, Entry>();
  #sweepAt = SWEEP_FROM;
  #lastToken = 0;

  acquire(request: LockRequest): Answer {
    const entry = this.#entryOf(request.key);
    this.#advance(request.key, entry);
    if (entry.holder === undefined || entry.holder.id === request.id) {
      return this.#grant(entry, request);
    }
    const queued = entry.queue.get(request.id);
    if (queued !== undefined) return queued.answer;
    return request.queue ? this.#enqueue(entry, request) : { state: 'busy' };
  }

  cancel(request: LeaseIdentity): void {
    this.#entries.get(request.key)?.queue.delete(request.id);
    this.release(request);
  }

  renew({ id, key, ttl }: LeaseRenewal): boolean {
    const holder = this.#holderOf(key);
    if (holder?.id !== id) return false;
    this.#prolong(holder, ttl);
    return true;
  }

  release({ id, key }: LeaseIdentity): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    const owned = this.#holderOf(key)?.id === id;
    if (owned) entry.holder = undefined;
    this.#advance(key, entry);
    if (entry.holder === undefined) this.#entries.delete(key);
    return owned;
  }

  /** A process goes away: it waits for nothing any more. What it holds ends by time, as if it had died. */
  leave(processId: string): void {
    for (const [key, entry] of this.#entries) {
      for (const id of entry.queue.keys()) {
        if (id.startsWith(`${processId}:`)) entry.queue.delete(id);
      }
      this.#watch(key, entry);
    }
  }

  inspect(key: string): KeyState {
    const holder = this.#holderOf(key);
    return {
      holders: holder ? [{ token: holder.token, remaining: holder.ends.remaining }] : [],
      waiters: this.#entries.get(key)?.queue.size ?? 0,
    };
  }

  #entryOf(key: string): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#sweep();
      entry = { holder: undefined, queue: new Map(), disarm: undefined };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  /** Forgets leases that ended without a release. Doubling the mark keeps its cost constant per key. */
  #sweep(): void {
    if (this.#entries.size < this.#sweepAt) return;
    for (const [key, { holder, queue }] of this.#entries) {
      if (queue.size === 0 && (holder === undefined || holder.ends.passed))
        this.#entries.delete(key);
    }
    this.#sweepAt = Math.max(SWEEP_FROM, 2 * this.#entries.size);
  }

  #holderOf(key: string): Holder | undefined {
    const holder = this.#entries.get(key)?.holder;
    return holder?.ends.passed ? undefined : holder;
  }

  #grant(entry: Entry, { id, ttl }: LockRequest): Grant {
    const since = Instant.now();
    if (entry.holder?.id === id) {
      // Asked again, the same request has the same grant; only its life starts anew.
      this.#prolong(entry.holder, ttl);
    } else {
      entry.holder = { id, token: this.#nextToken(), ends: new Deadline(since, ttl) };
    }
    return { state: 'granted', token: entry.holder.token, since, ttl };
  }

  #prolong(holder: Holder, ttl: number): void {
    if (holder.ends.remaining < ttl) holder.ends = Deadline.in(ttl);
  }

  #nextToken(): number {
    this.#lastToken = Math.max(this.#lastToken + 1, wallTimeIn(0) * 1000);
    return this.#lastToken;
  }

  #enqueue(entry: Entry, request: LockRequest): Answer {
    let grant!: (grant: Grant) => void;
    const granted = new Promise<Grant>((resolve) => {
      grant = resolve;
    });
    const answer: Waiting = { state: 'waiting', granted };
    entry.queue.set(request.id, { request, answer, grant });
    this.#watch(request.key, entry);
    return answer;
  }

  /** Ends a holder whose time is over, and grants a free lock to the first in the queue. */
  #advance(key: string, entry: Entry): void {
    if (entry.holder?.ends.passed) entry.holder = undefined;
    const next = entry.holder === undefined ? entry.queue.values().next().value : undefined;
    if (next !== undefined) {
      entry.queue.delete(next.request.id);
      next.grant(this.#grant(entry, next.request));
    }
    this.#watch(key, entry);
  }

  /** Looks again when the holder's time is over, if anybody waits for that. */
  #watch(key: string, entry: Entry): void {
    entry.disarm?.();
    entry.disarm = undefined;
    if (entry.holder === undefined || entry.queue.size === 0) return;
    entry.disarm = alarm(
      entry.holder.ends,
      () => {
        this.#advance(key, entry);
      },
      true,
    );
  }
}
