import type {
  ICompare,
  IKeyValue,
  IRangeRequest,
  IRequestOp,
  IResponseOp,
  ITxnRequest,
} from 'etcd3';
import type { Queue } from './keyspace.js';

// The words in which the transactions are written.

export interface Reply {
  readonly succeeded: boolean;
  readonly responses: readonly IResponseOp[];
}

export function compare(
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
export function compareAll(
  { prefix: key, end: range_end }: Queue,
  result: 'Equal' | 'Greater' | 'Less',
  revision: string | number,
): ICompare {
  return { key, range_end, target: 'Create', result, create_revision: revision };
}

/** True when the value of each of them begins with these words; false when there are none. */
export function compareValues({ prefix: key, end: range_end }: Queue, words: string): ICompare[] {
  const all = { key, range_end, target: 'Value' as const };
  return [
    { ...all, result: 'Greater', value: Buffer.from(`${words} `) },
    { ...all, result: 'Less', value: Buffer.from(`${words}!`) }, // what follows a space
  ];
}

export function put(key: Buffer, value: Buffer, lease: string): IRequestOp {
  return { request_put: { key, value, lease } };
}

export function remove(key: Buffer): IRequestOp {
  return { request_delete_range: { key } };
}

export function read(request: IRangeRequest): IRequestOp {
  return { request_range: request };
}

/** One key, or some of a queue in the order of their coming. */
export function rangeOf(
  what: Buffer | Queue,
  order: Pick<IRangeRequest, 'sort_order' | 'limit' | 'max_create_revision' | 'keys_only'> = {},
): IRangeRequest {
  if (Buffer.isBuffer(what)) return { key: what };
  return { key: what.prefix, range_end: what.end, sort_target: 'Create', ...order };
}

/** All that begin with the prefix of the queue, in the order in which they came. */
export function everyMember(queue: Queue, before?: string): IRangeRequest {
  return rangeOf(queue, {
    sort_order: 'Ascend',
    ...(before === undefined ? {} : { max_create_revision: justBefore(before) }),
  });
}

export function justBefore(revision: string): string {
  return String(Number(revision) - 1);
}

export function nested(request: ITxnRequest): IRequestOp {
  return { request_txn: request };
}

export function nestedReply({ responses }: Reply): Reply {
  const [response] = responses;
  if (response === undefined) throw new Error('etcd left out the reply to a nested transaction');
  return response.response_txn;
}

/** The keys that a transaction read, an array for each of its reads. */
export function kvsRead({ responses }: Pick<Reply, 'responses'>): IKeyValue[][] {
  return responses.map(({ response_range: range }: Partial<IResponseOp>) => range?.kvs ?? []);
}
