import type { ICompare, IKeyValue, IRequestOp, ITxnRequest } from 'etcd3';
import type { Stamp, TxnReply } from './etcd-calls.js';
import type { Queue } from './keyspace.js';
import { grantedState, waitingState } from './member.js';

// The protocol: each function is one transaction, and what its reply says. A member of a queue is
// one key; the owner of the lock is the member with the lowest create revision. That never changes
// while a member lives: nobody can come before one that is there. The token is the revision of the
// transaction in which a member became the owner, so greater than that of any owner before.
//
// etcd compares and reads a prefix as a whole, which for the key `a` includes the members of `a/b`.
// They never let anybody in who must stay out; where they stand in the way, who asks reads them all.

/** What `acquire` and `advance` put down in the name of a request. */
export interface Place {
  readonly queue: Queue;
  readonly id: string;
  readonly name: Buffer;
}

/** A key that stands for the right of a process to ask; a change of it makes void what was asked under it. */
export interface Marker {
  readonly name: Buffer;
  /** Its last change. */
  readonly revision: string;
}

export type AcquireOutcome =
  | { readonly state: 'granted'; readonly stamp: Stamp }
  /** Stands in the queue, behind this one; undefined when it came in first. */
  | { readonly state: 'queued'; readonly stamp: Stamp; readonly ahead: IKeyValue | undefined }
  /** Nothing was put down. This one came first. */
  | { readonly state: 'taken'; readonly first: IKeyValue | undefined }
  /** It was there already, or the marker has changed. */
  | {
      readonly state: 'known';
      readonly stamp: Stamp;
      readonly own: IKeyValue | undefined;
      readonly marker: IKeyValue | undefined;
    };

/**
 * Takes a free lock on `lease`, for a request of which nothing was sent before. One that is not
 * free it leaves alone.
 */
export function takeTxn({ queue, id, name }: Place, marker: Marker, lease: string): ITxnRequest {
  return {
    compare: [compare(marker.name, 'Mod', 'Equal', marker.revision), compareAll(queue, 'Equal', 0)],
    success: [put(name, grantedState(id), lease)],
    failure: [rangeOf(queue, { sort_order: 'Ascend', limit: 1 })],
  };
}

/** Nobody came first when it was the marker that has changed. */
export function readTake(reply: TxnReply): AcquireOutcome {
  const { stamp, succeeded, responses } = reply;
  return succeeded
    ? { state: 'granted', stamp }
    : { state: 'taken', first: kvsOf(responses[0])[0] };
}

/**
 * Takes a free lock on `lease`. One that is not free: joins the queue on the lease `waiting`, or
 * without one only looks. Asked again it changes nothing.
 */
export function acquireTxn(
  { queue, id, name }: Place,
  marker: Marker,
  lease: string,
  waiting: string | undefined,
): ITxnRequest {
  const mayAsk = compare(marker.name, 'Mod', 'Equal', marker.revision);
  const join =
    waiting === undefined
      ? [rangeOf(queue, { sort_order: 'Ascend', limit: 1 })]
      : [
          put(name, waitingState(id), waiting),
          rangeOf(queue, { sort_order: 'Descend', limit: 2 }), // ourselves, and who came before
        ];
  return {
    compare: [mayAsk, compareAll(queue, 'Equal', 0)],
    success: [put(name, grantedState(id), lease)],
    failure: [
      nested({
        compare: [mayAsk, compare(name, 'Create', 'Equal', 0)],
        success: join,
        failure: [rangeOf(marker.name), rangeOf(name)],
      }),
    ],
  };
}

export function readAcquire(reply: TxnReply, queued: boolean): AcquireOutcome {
  const { stamp } = reply;
  if (reply.succeeded) return { state: 'granted', stamp };
  const { succeeded, responses } = nestedReply(reply);
  if (!succeeded) {
    const [marker, own] = responses.map(kvsOf);
    return { state: 'known', stamp, own: own?.[0], marker: marker?.[0] };
  }
  const [first, second] = kvsOf(responses[queued ? 1 : 0]);
  return queued ? { state: 'queued', stamp, ahead: second } : { state: 'taken', first };
}

export type AdvanceOutcome =
  | { readonly state: 'granted'; readonly stamp: Stamp }
  | { readonly state: 'behind'; readonly stamp: Stamp; readonly ahead: IKeyValue | undefined }
  /** The member was changed or deleted since it joined. */
  | { readonly state: 'changed'; readonly stamp: Stamp; readonly own: IKeyValue | undefined };

/**
 * Makes a waiting member the owner if none is ahead of it: puts it down again on `lease`. Otherwise
 * reads who is directly ahead.
 *
 * @param joined the revision at which it joined: its only change so far
 * @param alone it was seen that of the queue's own members none is ahead, which remains so
 */
export function advanceTxn(
  { queue, id, name }: Place,
  joined: string,
  lease: string,
  alone: boolean,
): ITxnRequest {
  const unchanged = compare(name, 'Mod', 'Equal', joined);
  const before = String(Number(joined) - 1);
  return {
    compare: alone ? [unchanged] : [unchanged, compareAll(queue, 'Greater', before)],
    success: [put(name, grantedState(id), lease)],
    failure: [
      nested({
        compare: [unchanged],
        success: [rangeOf(queue, { max_create_revision: before, sort_order: 'Descend', limit: 1 })],
        failure: [rangeOf(name)],
      }),
    ],
  };
}

export function readAdvance(reply: TxnReply): AdvanceOutcome {
  const { stamp } = reply;
  if (reply.succeeded) return { state: 'granted', stamp };
  const { succeeded, responses } = nestedReply(reply);
  const [kv] = kvsOf(responses[0]);
  return succeeded ? { state: 'behind', stamp, ahead: kv } : { state: 'changed', stamp, own: kv };
}

/** Moves an owner to another lease, if it is as it was. */
export function moveTxn(
  { id, name }: Pick<Place, 'id' | 'name'>,
  modified: string,
  lease: string,
  token: number,
): ITxnRequest {
  return {
    compare: [compare(name, 'Mod', 'Equal', modified)],
    success: [put(name, grantedState(id, token), lease)],
    failure: [rangeOf(name)],
  };
}

/** Reads those that are not as they were, in the order of `members`; nothing when all are. */
export function checkTxn(
  members: readonly { readonly name: Buffer; readonly modified: string }[],
): ITxnRequest {
  return {
    compare: members.map(({ name, modified }) => compare(name, 'Mod', 'Equal', modified)),
    success: [],
    failure: members.map(({ name }) => rangeOf(name)),
  };
}

/**
 * Deletes a member; only one that was created at `created`, if that is given. Voids what was asked
 * under these leases and may still be carried out: it would create the member again.
 */
export function withdrawTxn(
  name: Buffer,
  created: string | undefined,
  voided: readonly { readonly id: string; readonly marker: Marker }[] = [],
): ITxnRequest {
  return {
    compare: created === undefined ? [] : [compare(name, 'Create', 'Equal', created)],
    success: [
      { request_delete_range: { key: name } },
      ...voided.map(({ id, marker }) => put(marker.name, Buffer.alloc(0), id)),
    ],
    failure: [],
  };
}

/** All that begin with the prefix of the queue, in the order in which they came. */
export function everyMember({ prefix, end }: Queue, before?: string) {
  return {
    key: prefix,
    range_end: end,
    sort_target: 'Create' as const,
    sort_order: 'Ascend' as const,
    ...(before === undefined ? {} : { max_create_revision: String(Number(before) - 1) }),
  };
}

/** A key that was there at a revision. */
export interface Seen {
  readonly key: Buffer;
  readonly seen: string;
}

export function whoIsThereTxn(reviewed: readonly Seen[]): ITxnRequest {
  return { compare: [], success: reviewed.map(({ key }) => rangeOf(key)), failure: [] };
}

/** Whether each is there still: one that was created since then is another of the same name. */
export function readWhoIsThere(reply: TxnReply, reviewed: readonly Seen[]): boolean[] {
  return kvsRead(reply).map((kvs, index) =>
    kvs.some(({ create_revision: created }) => Number(created) <= Number(reviewed[index]?.seen)),
  );
}

/** The members that a transaction read, an array for each of its reads. */
export function kvsRead({ responses }: TxnReply): IKeyValue[][] {
  return responses.map(kvsOf);
}

function compare(
  key: Buffer,
  target: 'Create' | 'Mod',
  result: 'Equal',
  revision: string | number,
): ICompare {
  return target === 'Create'
    ? { key, target, result, create_revision: revision }
    : { key, target, result, mod_revision: revision };
}

/** True when the create revision of each of them is so; also when there are none, of revision 0. */
function compareAll(
  { prefix, end }: Queue,
  result: 'Equal' | 'Greater',
  revision: string | number,
): ICompare {
  return { key: prefix, range_end: end, target: 'Create', result, create_revision: revision };
}

function put(key: Buffer, value: Buffer, lease: string): IRequestOp {
  return { request_put: { key, value, lease } };
}

function rangeOf(
  what: Buffer | Queue,
  order: { sort_order?: 'Ascend' | 'Descend'; limit?: number; max_create_revision?: string } = {},
): IRequestOp {
  if (Buffer.isBuffer(what)) return { request_range: { key: what } };
  const { prefix: key, end: range_end } = what;
  return { request_range: { key, range_end, sort_target: 'Create', ...order } };
}

function nested(request: ITxnRequest): IRequestOp {
  return { request_txn: request };
}

function nestedReply({ responses }: TxnReply) {
  const [response] = responses;
  if (response === undefined) throw new Error('etcd left out the reply to a nested transaction');
  return response.response_txn;
}

function kvsOf(response: TxnReply['responses'][number] | undefined): IKeyValue[] {
  return response?.response_range.kvs ?? [];
}
