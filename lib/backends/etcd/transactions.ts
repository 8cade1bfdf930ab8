import type { ICompare, IKeyValue, ITxnRequest } from 'etcd3';
import type { Stamp, TxnReply } from './etcd-calls.js';
import type { Queue } from './keyspace.js';
import { type Claim, grantedNow, SHARED, waitingNow } from './member.js';
import {
  compare,
  compareAll,
  compareValues,
  justBefore,
  kvsRead,
  nested,
  nestedReply,
  put,
  rangeOf,
  read,
  type Reply,
} from './operations.js';
import { reachOf, type Sight, sightOf } from './sight.js';

// How a request gets in: each function is one transaction, and what its reply says. A member of a
// queue is one key, and who holds the lock is decided by the order of their create revisions, see
// sight.ts. The token is the revision of the transaction that says of a member that it was granted:
// so it is unique, and greater than that of any owner before.
//
// etcd compares and reads a prefix as a whole, which for the key `a` includes the members of `a/b`.
// They never let anybody in who must stay out; where they stand in the way, who asks reads them all.

/** What is put down in the name of a request. */
export interface Bid {
  readonly queue: Queue;
  readonly claim: Claim;
  readonly name: Buffer;
}

/** A key that stands for the right of a process to ask; a change of it makes void what was asked under it. */
export interface Marker {
  readonly name: Buffer;
  /** Its last change. */
  readonly revision: string;
}

/** How a lock is asked for. */
export interface Attempt {
  readonly bid: Bid;
  readonly marker: Marker;
  /** What its holder lives on. */
  readonly lease: string;
  /** What those who wait live on; without one it does not join the queue. */
  readonly waiting: string | undefined;
  /** Whether nothing was sent for the request before. */
  readonly isFirst: boolean;
  /** The revision at which there was room for it beside those who were there. */
  readonly roomAt: string | undefined;
}

export type AcquireOutcome =
  | { readonly state: 'granted'; readonly stamp: Stamp }
  /** Stands in the queue, behind these, the nearest first. */
  | { readonly state: 'queued'; readonly stamp: Stamp; readonly ahead: Sight }
  /** Nothing was put down. These came first; none when it was the marker that has changed. */
  | { readonly state: 'taken'; readonly stamp: Stamp; readonly first: Sight }
  /** It was there already, or the marker has changed. */
  | {
      readonly state: 'known';
      readonly stamp: Stamp;
      readonly own: IKeyValue | undefined;
      readonly marker: IKeyValue | undefined;
    };

/**
 * Takes a lock that is free, or has room. One that is not: joins the queue, or only looks. Asked again
 * it changes nothing.
 */
export function acquireTxn(attempt: Attempt): ITxnRequest {
  const { bid, marker, lease } = attempt;
  const { queue, name, claim } = bid;
  const mayAsk = compare(marker.name, 'Mod', 'Equal', marker.revision);
  const grant = [put(name, grantedNow(claim), lease)];
  const free: ITxnRequest = {
    compare: [mayAsk, compareAll(queue, 'Equal', 0)],
    success: grant,
    failure: isBare(attempt) ? [lookOf(bid)] : [nested(joinTxn(attempt, mayAsk))],
  };
  const room = roomFor(attempt);
  if (room === undefined) return free;
  const isNew = compare(name, 'Create', 'Equal', 0);
  return { compare: [mayAsk, isNew, ...room], success: grant, failure: [nested(free)] };
}

export function readAcquire(attempt: Attempt, reply: TxnReply): AcquireOutcome {
  const { stamp } = reply;
  if (reply.succeeded) return { state: 'granted', stamp };
  const free = roomFor(attempt) === undefined ? reply : nestedReply(reply);
  if (free.succeeded) return { state: 'granted', stamp };

  const { queue, claim } = attempt.bid;
  const reach = reachOf(claim);
  const joined = isBare(attempt) ? undefined : nestedReply(free);
  if (joined?.succeeded === false) {
    const [marker, own] = kvsRead(joined);
    return { state: 'known', stamp, own: own?.[0], marker: marker?.[0] };
  }
  if (joined === undefined || attempt.waiting === undefined) {
    const [kvs = []] = kvsRead(joined ?? free);
    return { state: 'taken', stamp, first: sightOf(queue, kvs, reach) };
  }
  const [, [, ...ahead] = []] = kvsRead(joined);
  return { state: 'queued', stamp, ahead: sightOf(queue, ahead, reach) };
}

/** Nothing can be known of it, and nothing is to be put down but a grant: less to ask. */
function isBare({ isFirst, waiting }: Attempt): boolean {
  return isFirst && waiting === undefined;
}

/** When it may come in beside others: when they are all readers as well, or those who left room. */
function roomFor({ bid: { queue, claim }, roomAt }: Attempt): ICompare[] | undefined {
  if (roomAt !== undefined) return [compareAll(queue, 'Less', Number(roomAt) + 1)];
  return claim.mode === 'shared' && claim.limit === 1 ? compareValues(queue, SHARED) : undefined;
}

function joinTxn({ bid, marker, waiting }: Attempt, mayAsk: ICompare): ITxnRequest {
  const { queue, name, claim } = bid;
  // Ourselves, and who came before.
  const ahead = rangeOf(queue, { sort_order: 'Descend', limit: reachOf(claim) + 1 });
  return {
    compare: [mayAsk, compare(name, 'Create', 'Equal', 0)],
    success:
      waiting === undefined ? [lookOf(bid)] : [put(name, waitingNow(claim), waiting), read(ahead)],
    failure: [read(rangeOf(marker.name)), read(rangeOf(name))],
  };
}

function lookOf({ queue, claim }: Bid) {
  return read(rangeOf(queue, { sort_order: 'Ascend', limit: reachOf(claim) }));
}

export type AdvanceOutcome =
  | { readonly state: 'granted'; readonly stamp: Stamp }
  /** These are ahead, the nearest first. */
  | { readonly state: 'behind'; readonly stamp: Stamp; readonly ahead: Sight }
  /** The member was changed or deleted since it joined. */
  | { readonly state: 'changed'; readonly stamp: Stamp; readonly own: IKeyValue | undefined };

/**
 * Reads who is ahead of a waiting member.
 * @param joined the revision at which it joined: its only change so far
 */
export function lookTxn({ queue, claim, name }: Bid, joined: string): ITxnRequest {
  const order = { sort_order: 'Descend', limit: reachOf(claim) } as const;
  return {
    compare: [compare(name, 'Mod', 'Equal', joined)],
    success: [read(rangeOf(queue, { ...order, max_create_revision: justBefore(joined) }))],
    failure: [read(rangeOf(name))],
  };
}

export function readLook({ queue, claim }: Bid, stamp: Stamp, reply: Reply): AdvanceOutcome {
  const [kvs = []] = kvsRead(reply);
  return reply.succeeded
    ? { state: 'behind', stamp, ahead: sightOf(queue, kvs, reachOf(claim)) }
    : { state: 'changed', stamp, own: kvs[0] };
}

/**
 * Makes a waiting member a holder if none is ahead of it: puts it down again on `lease`. Otherwise
 * looks.
 *
 * @param letIn it was seen that those ahead let it in, which remains so
 */
export function advanceTxn(bid: Bid, joined: string, lease: string, letIn: boolean): ITxnRequest {
  const { queue, claim, name } = bid;
  const unchanged = compare(name, 'Mod', 'Equal', joined);
  const isFirst = compareAll(queue, 'Greater', justBefore(joined));
  return {
    compare: letIn ? [unchanged] : [unchanged, isFirst],
    success: [put(name, grantedNow(claim), lease)],
    failure: [nested(lookTxn(bid, joined))],
  };
}

export function readAdvance(bid: Bid, reply: TxnReply): AdvanceOutcome {
  const { stamp } = reply;
  return reply.succeeded ? { state: 'granted', stamp } : readLook(bid, stamp, nestedReply(reply));
}
