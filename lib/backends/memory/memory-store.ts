import { alarm, Deadline, Instant, wallTimeIn } from '../../clock.js';
import { ByKey } from '../../by-key.js';
import { keyPattern } from '../key-pattern.js';
import {
  type Answer,
  busy,
  type Busy,
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
  readonly limit: number;
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
  /** In the order of their tokens. */
  holders: Holder[];
  /** By request id, in the order of arrival. */
  queue: Map<string, Queued>;
  /** Calls off the look at the end of a holder, which is planned only while somebody waits. */
  disarm: (() => void) | undefined;
}

/** The queue of a key for which nobody ever waited, as of most: to make one would cost more than the rest. */
const NOBODY = new Map<string, Queued>();

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

/** @returns with the limit of those who use it, where the request has another one */
function busyWith({ holders, queue }: Entry, { limit }: LockRequest): Busy {
  const used = (holders[0] ?? queue.values().next().value?.request)?.limit ?? limit;
  return busy(used === limit ? undefined : used);
}

/** Whether it may hold the key at once, or does already. Nobody passes who waits. */
function mayHold(entry: Entry, request: LockRequest): boolean {
  const own = holderOf(entry, request.id);
  return own === undefined ? entry.queue.size === 0 && hasRoomFor(entry, request) : !own.kept;
}

/** Whether those who hold it leave room for one more. */
function hasRoomFor({ holders }: Entry, { mode, limit }: LockRequest): boolean {
  const [first] = holders;
  if (first === undefined) return true;
  // All who hold it have the same.
  if (first.limit !== limit) return false;
  if (limit > 1) return holders.length < limit;
  return mode === 'shared' && holders.every((holder) => holder.mode === 'shared');
}

function hasLive(holders: readonly Holder[]): boolean {
  return !holders.every(isOver);
}

function isOver({ ends }: Holder): boolean {
  return ends.passed;
}

function holderOf({ holders }: Entry, id: string): Holder | undefined {
  for (const holder of holders) if (holder.id === id) return holder;
  return undefined;
}

/** The lease, while it is its owner's. */
function leaseOf(entry: Entry, id: string): Holder | undefined {
  const holder = holderOf(entry, id);
  return holder === undefined || holder.kept || isOver(holder) ? undefined : holder;
}

function prolong(holder: Holder, ttl: number): void {
  if (holder.ends.remaining < ttl) holder.ends = Deadline.in(ttl);
}
