import { alarm, Deadline, Instant, wallTimeIn } from '../../clock.js';
import { keyPattern } from '../key-pattern.js';
import { limitConflict } from '../limit-conflict.js';
import {
  type Answer,
  type BusyKey,
  type Grant,
  type KeyState,
  type LeaseIdentity,
  type LeaseMode,
  type LeaseRenewal,
  type LockRequest,
  MOST_SHOWN,
  type Waiting,
} from '../lock-backend.js';

/** A lease, as the store has it. */
interface Holder {
  readonly id: string;
  readonly token: number;
  mode: LeaseMode;
  readonly since: Instant;
  ends: Deadline;
  /** Given back, and only kept until its end so that nobody is let in before. */
  kept: boolean;
}

interface Queued {
  readonly request: LockRequest;
  readonly since: Instant;
  readonly answer: Waiting;
  grant(grant: Grant): void;
}

/** What is known of one key. */
interface Entry {
  readonly key: string;
  /** How many may hold it at once, as long as anybody holds it or waits for it. */
  limit: number;
  /** By request id, in the order of their tokens. */
  readonly holders: Map<string, Holder>;
  /** By request id, in the order of arrival. */
  queue: Map<string, Queued>;
  /** Calls off the look at the end of a holder, which is planned only while somebody waits. */
  disarm: (() => void) | undefined;
}

/** The queue of a key for which nobody ever waited, as of most: to make one would cost more than the rest. */
const NOBODY = new Map<string, Queued>();

/** Sweeping for leases that ended without a release starts at so many keys. */
const SWEEP_FROM = 1_000;

/** The lock protocol in its plainest form: each method is one atomic step. */
export class MemoryStore {
  readonly #entries = new Map<string, Entry>();
  #sweepAt = SWEEP_FROM;
  #lastToken = 0;

  /** @throws LockConfigurationError when the key is in use with another limit */
  acquire(request: LockRequest): Answer {
    const entry = this.#entryFor(request);
    const queued = entry.queue.get(request.id);
    if (queued !== undefined) return queued.answer;
    if (mayHold(entry, request)) return this.#grant(entry, request);
    return request.queue ? this.#enqueue(entry, request) : { state: 'busy' };
  }

  /** @throws LockConfigurationError when one of the keys is in use with another limit */
  acquireAll(requests: readonly LockRequest[]): Grant[] | BusyKey {
    const asked = requests.map((request) => ({ request, entry: this.#entryFor(request) }));
    const busy = asked.find(({ request, entry }) => !mayHold(entry, request));
    const grants =
      busy === undefined ? asked.map(({ request, entry }) => this.#grant(entry, request)) : [];
    for (const { entry } of asked) this.#advance(entry);
    return busy === undefined ? grants : { state: 'busy', key: busy.request.key };
  }

  cancel(request: LeaseIdentity): void {
    this.#entries.get(request.key)?.queue.delete(request.id);
    this.release(request, 0);
  }

  renew({ id, key, ttl }: LeaseRenewal): boolean {
    const holder = this.#leaseOf({ id, key });
    if (holder === undefined) return false;
    prolong(holder, ttl);
    return true;
  }

  release(lease: LeaseIdentity, keepFor: number): boolean {
    const holder = this.#leaseOf(lease);
    const entry = this.#entries.get(lease.key);
    if (entry === undefined) return false;
    if (holder !== undefined && keepFor > 0) {
      holder.kept = true;
      holder.ends = Deadline.in(keepFor);
    } else if (holder !== undefined) {
      entry.holders.delete(lease.id);
    }
    this.#advance(entry);
    return holder !== undefined;
  }

  downgrade(lease: LeaseIdentity): boolean {
    const holder = this.#leaseOf(lease);
    const entry = this.#entries.get(lease.key);
    if (holder === undefined || entry === undefined) return false;
    holder.mode = 'shared';
    this.#advance(entry);
    return true;
  }

  /** A process goes away: it waits for nothing any more. What it holds ends by time, as if it had died. */
  leave(processId: string): void {
    for (const entry of [...this.#entries.values()]) {
      for (const id of entry.queue.keys()) {
        if (id.startsWith(`${processId}:`)) entry.queue.delete(id);
      }
      this.#advance(entry);
    }
  }

  inspect(key: string): KeyState {
    const entry = this.#entries.get(key);
    const holders = [...(entry?.holders.values() ?? [])].filter(({ ends }) => !ends.passed);
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
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      entry.holders.clear();
      this.#advance(entry);
    }
    return holders;
  }

  /** The key as it is now, for one who asks for it. */
  #entryFor({ id, key, limit }: LockRequest): Entry {
    const known = this.#entries.get(key);
    if (known !== undefined) this.#advance(known);
    const entry = this.#entryOf(key);
    if (!isUsed(entry)) entry.limit = limit;
    if (entry.limit !== limit && !entry.holders.has(id))
      throw limitConflict(key, limit, entry.limit);
    return entry;
  }

  #entryOf(key: string): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#sweep();
      entry = { key, limit: 1, holders: new Map(), queue: NOBODY, disarm: undefined };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  /** Forgets leases that ended without a release. Doubling the mark keeps its cost constant per key. */
  #sweep(): void {
    if (this.#entries.size < this.#sweepAt) return;
    for (const [key, { holders, queue }] of this.#entries) {
      if (queue.size === 0 && !hasLive(holders)) this.#entries.delete(key);
    }
    this.#sweepAt = Math.max(SWEEP_FROM, 2 * this.#entries.size);
  }

  /** The lease, while it is its owner's. */
  #leaseOf({ id, key }: LeaseIdentity): Holder | undefined {
    const holder = this.#entries.get(key)?.holders.get(id);
    return holder === undefined || holder.kept || holder.ends.passed ? undefined : holder;
  }

  #grant(entry: Entry, { id, ttl, mode }: LockRequest): Grant {
    const since = Instant.now();
    let holder = entry.holders.get(id);
    if (holder === undefined) {
      const ends = new Deadline(since, ttl);
      holder = { id, token: this.#nextToken(), mode, since, ends, kept: false };
      entry.holders.set(id, holder);
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

  /** Ends holders whose time is over, grants those at the head of the queue, and forgets what is free. */
  #advance(entry: Entry): void {
    for (const { id, ends } of entry.holders.values()) if (ends.passed) entry.holders.delete(id);
    for (const next of entry.queue.values()) {
      if (!hasRoomFor(entry, next.request)) break;
      entry.queue.delete(next.request.id);
      next.grant(this.#grant(entry, next.request));
    }
    if (!isUsed(entry)) this.#entries.delete(entry.key);
    this.#watch(entry);
  }

  /** Looks again when the time of a holder is over, if anybody waits for that. */
  #watch(entry: Entry): void {
    entry.disarm?.();
    entry.disarm = undefined;
    if (entry.queue.size === 0) return;
    let first: Deadline | undefined;
    for (const { ends } of entry.holders.values()) first = ends.earliest(first);
    if (first !== undefined) entry.disarm = alarm(first, () => this.#advance(entry), true);
  }
}

function isUsed({ holders, queue }: Entry): boolean {
  return holders.size > 0 || queue.size > 0;
}

/** Whether it may hold the key at once, or does already. Nobody passes who waits. */
function mayHold(entry: Entry, request: LockRequest): boolean {
  const own = entry.holders.get(request.id);
  return own === undefined ? entry.queue.size === 0 && hasRoomFor(entry, request) : !own.kept;
}

/** Whether those who hold it leave room for one more. */
function hasRoomFor({ limit, holders }: Entry, { mode }: LockRequest): boolean {
  if (holders.size === 0) return true;
  if (limit > 1) return holders.size < limit;
  if (mode !== 'shared') return false;
  for (const holder of holders.values()) if (holder.mode !== 'shared') return false;
  return true;
}

function hasLive(holders: Entry['holders']): boolean {
  for (const { ends } of holders.values()) if (!ends.passed) return true;
  return false;
}

function prolong(holder: Holder, ttl: number): void {
  if (holder.ends.remaining < ttl) holder.ends = Deadline.in(ttl);
}
