import type { LockMode } from 'nestjs-lock';

/** Who asks for a key, as far as it matters to the others. */
export interface Claim {
  /** In the order in which the program asked. */
  readonly n: number;
  readonly mode: LockMode;
  readonly limit: number;
}

export interface Tenure extends Claim {
  /** Given back, and the key is kept taken still. */
  readonly kept: boolean;
}

/** All that the contract knows of a key when nothing ends by time. */
export interface KeyModel {
  readonly holders: readonly Tenure[];
  readonly queue: readonly Claim[];
}

/** `conflict`: busy for those who have another limit. */
export type Verdict = 'granted' | 'busy' | 'waiting' | 'conflict';

export const FREE: KeyModel = { holders: [], queue: [] };

export function ask(key: KeyModel, claim: Claim, queue: boolean): [Verdict, KeyModel] {
  const next = served({ ...key, queue: [...key.queue, claim] });
  if (holds(next, claim.n)) return ['granted', next];
  if (queue) return ['waiting', next];
  const [user] = [...key.holders, ...key.queue];
  return [user?.limit === claim.limit ? 'busy' : 'conflict', key];
}

/** Released, withdrawn or expired. What is only kept taken stays. */
export function leave(key: KeyModel, n: number): KeyModel {
  const holders = key.holders.filter((one) => one.n !== n || one.kept);
  return served({ holders, queue: key.queue.filter((one) => one.n !== n) });
}

/** Processes die: who is of them waits no more, and keeps what it holds. */
export function abandon(key: KeyModel, isOfThem: (one: Claim) => boolean): KeyModel {
  return served({ ...key, queue: key.queue.filter((one) => !isOfThem(one)) });
}

/** All leases are ended. */
export function forceRelease(key: KeyModel): KeyModel {
  return served({ ...key, holders: [] });
}

/** Changes how one holds it. */
export function alter(key: KeyModel, n: number, change: Partial<Tenure>): KeyModel {
  const holders = key.holders.map((one) => (one.n === n ? { ...one, ...change } : one));
  return served({ ...key, holders });
}

export function holds({ holders }: KeyModel, n: number): boolean {
  return holders.some((one) => one.n === n && !one.kept);
}

export function waits({ queue }: KeyModel, n: number): boolean {
  return queue.some((one) => one.n === n);
}

/** Those who wait and can be let in are let in, in their order and up to the first who cannot. */
function served(key: KeyModel): KeyModel {
  const [first, ...queue] = key.queue;
  if (first === undefined || !fits(key, first)) return key;
  return served({ holders: [...key.holders, { ...first, kept: false }], queue });
}

function fits({ holders }: KeyModel, { mode, limit }: Claim): boolean {
  if (holders.some((holder) => holder.limit !== limit)) return false;
  if (mode === 'exclusive') return holders.length < limit;
  return holders.every((holder) => holder.mode === 'shared');
}
