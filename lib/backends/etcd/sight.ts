import type { IKeyValue } from 'etcd3';
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
export function verdictOn({ members, complete }: Sight, claim: Claim): 'in' | 'out' | undefined {
  const { limit } = claim;
  if (firstExcluding(members, claim) !== undefined) return 'out';
  if (limit > 1 && members.length >= limit) return 'out';
  return complete ? 'in' : undefined;
}

/**
 * Whether it is known what keeps a request out. With `limit` others between it and one that waits
 * still, it need not know more; nor with one that it can never hold beside.
 */
export function isEnough({ members, complete }: Sight, claim: Claim): boolean {
  const { limit } = claim;
  if (complete || limit === 1 || firstExcluding(members, claim) !== undefined) return true;
  const farthest = members[limit - 1];
  return farthest !== undefined && isWaiting(farthest);
}

/** The first of these that keeps a request out as long as it stands before it, alone and however it is held. */
export function firstExcluding(
  members: readonly IKeyValue[],
  { mode, limit }: Pick<Claim, 'mode' | 'limit'>,
): IKeyValue | undefined {
  if (limit > 1) return members.find((member) => limitOf(member) !== limit);
  return mode === 'shared' ? members.find(isWriter) : members[0];
}

export function isWriter(member: IKeyValue): boolean {
  return modeOf(member) !== 'shared';
}

/** The limit of the oldest of these, if it is another. */
export function otherLimit(oldest: IKeyValue | undefined, { limit }: Claim): number | undefined {
  const used = oldest === undefined ? limit : limitOf(oldest);
  return used === limit ? undefined : used;
}
