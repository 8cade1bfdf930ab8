import type { KeyState } from '../lock-backend.js';
import { count, failureOf, type Reply } from './poll.js';
import type { NodeState, Vote } from './redlock-node.js';

/** What a round of votes came to. */
export type Outcome = 'won' | 'lost';

/** Whether enough is known: a majority for us, or that there cannot be one and why. */
export function outcomeOf(
  replies: readonly Reply<Vote>[],
  pending: number,
  quorum: number,
): Outcome | undefined {
  const granted = count(replies, ({ state }) => state === 'granted');
  if (granted >= quorum) return 'won';
  if (pending === 0) return 'lost';
  if (granted + pending >= quorum) return undefined;
  const waiting = count(replies, ({ state }) => state === 'waiting');
  return waiting >= quorum || holderOf(replies, quorum) !== undefined ? 'lost' : undefined;
}

/** Who has the lock, or is to get it, by a majority. */
export function holderOf(replies: readonly Reply<Vote>[], quorum: number): string | undefined {
  const holders = replies.flatMap((reply) => {
    const vote = reply?.value;
    return vote === undefined || vote.state === 'granted' ? [] : [vote.holder];
  });
  return holders.find(
    (holder) => holder !== '-' && holders.filter((other) => other === holder).length >= quorum,
  );
}

/**
 * Whether votes stand in the way of each other: some are ours, or they name different requests and
 * none by a majority. A node in its grace names nobody, and stands in nobody's way.
 */
export function isSplit(replies: readonly Reply<Vote>[], quorum: number): boolean {
  if (count(replies, ({ state }) => state === 'granted') > 0) return true;
  if (holderOf(replies, quorum) !== undefined) return false;
  const named = replies.flatMap((reply) => {
    const vote = reply?.value;
    return vote === undefined || vote.state === 'granted' ? [] : [vote.holder];
  });
  return new Set(named.filter((holder) => holder !== '-')).size > 1;
}

/** What a majority says of a lease that is renewed; undefined while that may still come about. */
export function renewalOf(
  replies: readonly Reply<readonly unknown[]>[],
  index: number,
  pending: number,
  quorum: number,
): boolean | Error | undefined {
  const yes = count(replies, (node) => node[index] === 'renewed');
  if (yes >= quorum) return true;
  const no = count(replies, (node) => node[index] === 'taken' || node[index] === 'missing');
  if (no >= quorum) return false;
  return pending === 0 ? failureOf(replies) : undefined;
}

/** What the views of a majority, or more, come to. */
export function stateOf(views: readonly NodeState[], quorum: number): KeyState {
  const waiters = reachedBy(
    quorum,
    views.map((view) => view.waiters),
  );
  const leases = views.filter(({ id }) => {
    return id !== undefined && views.filter((other) => other.id === id).length >= quorum;
  });
  if (leases.length === 0) return { holders: [], waiters };
  const remaining = reachedBy(
    quorum,
    leases.map((lease) => lease.remaining),
  );
  return { holders: [{ token: commonToken(leases), remaining }], waiters };
}

/** The greatest number that so many have reached. */
function reachedBy(quorum: number, numbers: readonly number[]): number {
  return [...numbers].sort((one, other) => other - one)[quorum - 1] ?? 0;
}

/** The token that most nodes have for a lease. */
function commonToken(leases: readonly NodeState[]): number {
  const times = (token: number) => leases.filter((lease) => lease.token === token).length;
  return leases
    .map(({ token }) => token)
    .reduce((one, other) => (times(other) > times(one) ? other : one));
}
