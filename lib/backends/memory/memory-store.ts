import { alarm, Deadline, Instant, wallTimeIn } from '../../time/clock.js';
import { ByKey } from '../../structures/by-key.js';
import { keyPattern } from '../key-pattern.js';
import {
  type Answer,
  type BusyKey,
  type Grant,
  type KeyState,
  type LeaseIdentity,
  type LeaseRenewal,
  type LockRequest,
  MOST_SHOWN,
  type Waiting,
} from '../lock-backend.js';
import {
  busyWith,
  type Entry,
  hasLive,
  hasRoomFor,
  holderOf,
  isOver,
  leaseOf,
  mayHold,
  NOBODY,
  prolong,
} from './memory-entry.js';

/** The lock protocol in its plainest form: each method is one atomic step. */
export class MemoryStore {
  readonly #entries = new ByKey<Entry>(
    (key) => ({ key, holders: [], queue: NOBODY, disarm: undefined }),
    ({ holders, queue }) => queue.size > 0 || hasLive(holders),
  );
  #lastToken = 0;

  acquire(request: LockRequest): Answer {
    this.#entries.sweep();
    const entry = this.#entryOf(request.key);
    const queued = entry.queue.get(request.id);
    if (queued !== undefined) return queued.answer;
    if (mayHold(entry, request)) return this.#grant(entry, request);
    return request.queue ? this.#enqueue(entry, request) : busyWith(entry, request);
  }

  acquireAll(requests: readonly LockRequest[]): Grant[] | BusyKey {
    this.#entries.sweep();
    const asked = requests.map((request) => ({ request, entry: this.#entryOf(request.key) }));
    const inUse = asked.find(({ request, entry }) => !mayHold(entry, request));
    const grants =
      inUse === undefined ? asked.map(({ request, entry }) => this.#grant(entry, request)) : [];
    for (const { entry } of asked) this.#advance(entry);
    if (inUse === undefined) return grants;
    return { ...busyWith(inUse.entry, inUse.request), key: inUse.request.key };
  }

  cancel(request: LeaseIdentity): void {
    this.#entries.find(request.key)?.queue.delete(request.id);
    this.release(request, 0);
  }

  renew({ id, key, ttl }: LeaseRenewal): boolean {
    const entry = this.#entries.find(key);
    const holder = entry && leaseOf(entry, id);
    if (holder === undefined) return false;
    prolong(holder, ttl);
    return true;
  }

  release(lease: LeaseIdentity, keepFor: number): boolean {
    const entry = this.#entries.find(lease.key);
    if (entry === undefined) return false;
    const holder = leaseOf(entry, lease.id);
    if (holder !== undefined && keepFor > 0) {
      holder.kept = true;
      holder.ends = Deadline.in(keepFor);
    } else if (holder !== undefined) {
      entry.holders.splice(entry.holders.indexOf(holder), 1);
    }
    this.#advance(entry);
    return holder !== undefined;
  }

  downgrade(lease: LeaseIdentity): boolean {
    const entry = this.#entries.find(lease.key);
    const holder = entry && leaseOf(entry, lease.id);
    if (entry === undefined || holder === undefined) return false;
    holder.mode = 'shared';
    this.#advance(entry);
    return true;
  }

  /** A process goes away: it waits for nothing any more. What it holds ends by time, as if it had died. */
  leave(processId: string): void {
    for (const entry of this.#entries.values()) {
      for (const id of entry.queue.keys()) {
        if (id.startsWith(`${processId}:`)) entry.queue.delete(id);
      }
      this.#advance(entry);
    }
  }

  inspect(key: string): KeyState {
    const entry = this.#entries.find(key);
    const holders = (entry?.holders ?? []).filter((one) => !isOver(one));
    const queue = [...(entry?.queue.values() ?? [])];
    return {
      holders: holders.map(({ id, token, mode, since, ends }) => ({
        id,
        token,
        mode,
        age: since.elapsed,
        remaining: ends.remaining,
      })),
      waiters: queue.length,
      queue: queue.slice(0, MOST_SHOWN).map(({ request: { id, mode }, since }) => ({
        id,
        mode,
        age: since.elapsed,
      })),
    };
  }

  /** The keys that are held and match. */
  list(pattern: string): string[] {
    const matches = keyPattern(pattern);
    return [...this.#entries.values()]
      .filter(({ key, holders }) => matches.test(key) && hasLive(holders))
      .map(({ key }) => key);
  }

  /** The ids of those who hold the key. */
  holdersOf(key: string): string[] {
    return this.inspect(key).holders.map(({ id }) => id);
  }

  /** Ends all leases of the key. The ids of those who had them. */
  forceRelease(key: string): string[] {
    const holders = this.holdersOf(key);
    const entry = this.#entries.find(key);
    if (entry !== undefined) {
      entry.holders = [];
      this.#advance(entry);
    }
    return holders;
  }

  /** The key as it is now, for one who asks for it. */
  #entryOf(key: string): Entry {
    const entry = this.#entries.of(key);
    this.#advance(entry);
    return entry;
  }

  #grant(entry: Entry, { id, ttl, mode, limit }: LockRequest): Grant {
    const since = Instant.now();
    let holder = holderOf(entry, id);
    if (holder === undefined) {
      const ends = new Deadline(since, ttl);
      holder = { id, token: this.#nextToken(), mode, limit, since, ends, kept: false };
      entry.holders.push(holder);
    } else {
      // Asked again, the same request has the same grant; only its life starts anew.
      prolong(holder, ttl);
    }
    return { state: 'granted', token: holder.token, since, ttl };
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
    if (entry.queue === NOBODY) entry.queue = new Map();
    entry.queue.set(request.id, { request, since: Instant.now(), answer, grant });
    this.#watch(entry);
    return answer;
  }

  /** Ends holders whose time is over, and grants those at the head of the queue. */
  #advance(entry: Entry): void {
    if (entry.holders.some(isOver)) entry.holders = entry.holders.filter((one) => !isOver(one));
    for (const next of entry.queue.values()) {
      if (!hasRoomFor(entry, next.request)) break;
      entry.queue.delete(next.request.id);
      next.grant(this.#grant(entry, next.request));
    }
    this.#watch(entry);
  }

  /** Looks again when the time of a holder is over, if anybody waits for that. */
  #watch(entry: Entry): void {
    entry.disarm?.();
    entry.disarm = undefined;
    if (entry.queue.size === 0) return;
    let first: Deadline | undefined;
    for (const { ends } of entry.holders) first = ends.earliest(first);
    if (first !== undefined) entry.disarm = alarm(first, () => this.#advance(entry));
  }
}
