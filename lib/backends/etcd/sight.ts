import type { IKeyValue } from 'etcd3';
import { limitConflict } from '../limit-conflict.js';
import type { LockRequest } from '../lock-backend.js';
import type { Queue } from './keyspace.js';
import { type Claim, isWaiting, limitOf, modeOf } from './member.js';

// Who is let in is decided by those who came before: nobody can come before one that is there, and
// who is there can only leave, or become a reader. So whoever was once seen to have to wait for none
// of them has to wait for none for ever.

/** Among so many the nearest writer is looked for at once. */
const READERS_SEEN = 100;

/** What was read of a queue: the first so many of those who count, and whether there are no more. */
export interface Sight {
  readonly members: readonly IKeyValue[];
  readonly complete: boolean;
}

/**
 * How many of those ahead are read, as that is mostly enough to know what keeps a request out. Where
 * several may hold the key, those who hold it, and those who come before the request itself does: the
 * others wait until it is their turn to count.
 */
export function reachOf({ mode, limit }: Claim): number {
  if (limit > 1) return 2 * limit;
  return mode === 'shared' ? READERS_SEEN : 1;
}

/** Of what was read up to this reach, members of longer keys do not count. */
export function sightOf(queue: Queue, kvs: readonly IKeyValue[], reach: number): Sight {
  return { members: kvs.filter(({ key }) => queue.hasMember(key)), complete: kvs.length < reach };
}

/** Whether those ahead let it `in`; undefined when not enough of them was seen. */
export function verdictOn(
  { members, complete }: Sight,
  { mode, limit }: Claim,
): 'in' | 'out' | undefined {
  const blocking = mode === 'shared' && limit === 1 ? members.filter(isWriter) : members;
  if (blocking.length >= limit) return 'out';
  return complete ? 'in' : undefined;
}

/**
 * Whether it is known what keeps a request out. With `limit` others between it and one that waits
 * still, it need not know more.
 */
export function isEnough({ members, complete }: Sight, { limit }: Claim): boolean {
  const farthest = members[limit - 1];
  return complete || limit === 1 || (farthest !== undefined && isWaiting(farthest));
}

export function isWriter(member: IKeyValue): boolean {
  return modeOf(member) !== 'shared';
}

/** @throws LockConfigurationError when the first of these uses the key with another limit */
export function checkLimit(
  { key, limit }: Pick<LockRequest, 'key' | 'limit'>,
  [oldest]: readonly IKeyValue[],
): void {
  const used = oldest === undefined ? limit : limitOf(oldest);
  if (used !== limit) throw limitConflict(key, limit, used);
}

export function allAgree({ members }: Sight, { limit }: Claim): boolean {
  return members.every((member) => limitOf(member) === limit);
}
