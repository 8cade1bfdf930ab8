import { Deadline, type Instant } from '../../time/clock.js';
import {
  busy,
  type Busy,
  type Grant,
  type LeaseMode,
  type LockRequest,
  type Waiting,
} from '../lock-backend.js';

/** A lease, as the store has it. */
export interface Holder {
  readonly id: string;
  readonly token: number;
  mode: LeaseMode;
  readonly limit: number;
  readonly since: Instant;
  ends: Deadline;
  /** Given back, and only kept until its end so that nobody is let in before. */
  kept: boolean;
}

export interface Queued {
  readonly request: LockRequest;
  readonly since: Instant;
  readonly answer: Waiting;
  grant(grant: Grant): void;
}

/** What is known of one key. */
export interface Entry {
  readonly key: string;
  /** In the order of their tokens. */
  holders: Holder[];
  /** By request id, in the order of arrival. */
  queue: Map<string, Queued>;
  /** Calls off the look at the end of a holder, which is planned only while somebody waits. */
  disarm: (() => void) | undefined;
}

/** The queue of a key for which nobody ever waited, as of most: to make one would cost more than the rest. */
export const NOBODY = new Map<string, Queued>();

/** @returns with the limit of those who use it, where the request has another one */
export function busyWith({ holders, queue }: Entry, { limit }: LockRequest): Busy {
  const used = (holders[0] ?? queue.values().next().value?.request)?.limit ?? limit;
  return busy(used === limit ? undefined : used);
}

/** Whether it may hold the key at once, or does already. Nobody passes who waits. */
export function mayHold(entry: Entry, request: LockRequest): boolean {
  const own = holderOf(entry, request.id);
  return own === undefined ? entry.queue.size === 0 && hasRoomFor(entry, request) : !own.kept;
}

/** Whether those who hold it leave room for one more. */
export function hasRoomFor({ holders }: Entry, { mode, limit }: LockRequest): boolean {
  const [first] = holders;
  if (first === undefined) return true;
  // All who hold it have the same.
  if (first.limit !== limit) return false;
  if (limit > 1) return holders.length < limit;
  return mode === 'shared' && holders.every((holder) => holder.mode === 'shared');
}

export function hasLive(holders: readonly Holder[]): boolean {
  return !holders.every(isOver);
}

export function isOver({ ends }: Holder): boolean {
  return ends.passed;
}

export function holderOf({ holders }: Entry, id: string): Holder | undefined {
  for (const holder of holders) if (holder.id === id) return holder;
  return undefined;
}

/** The lease, while it is its owner's. */
export function leaseOf(entry: Entry, id: string): Holder | undefined {
  const holder = holderOf(entry, id);
  return holder === undefined || holder.kept || isOver(holder) ? undefined : holder;
}

export function prolong(holder: Holder, ttl: number): void {
  if (holder.ends.remaining < ttl) holder.ends = Deadline.in(ttl);
}
