import { MOST_SHOWN, type HolderState, type KeyState, type WaiterState } from '../lock-backend.js';
import type { Inspection } from '../redis-common/inspected.js';
import { count, failureOf, type Reply } from './poll.js';
import type { Vote } from './vote.js';

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

/** One who has the lock, or is to get it, by a majority. */
export function holderOf(replies: readonly Reply<Vote>[], quorum: number): string | undefined {
  const named = namedBy(replies);
  return named
    .flat()
    .find((holder) => named.filter((others) => others.includes(holder)).length >= quorum);
}

/**
 * Whether votes stand in the way of each other: some are ours, or they name different requests and
 * none by a majority. A node in its grace names nobody, and stands in nobody's way.
 */
export function isSplit(replies: readonly Reply<Vote>[], quorum: number): boolean {
  if (count(replies, ({ state }) => state === 'granted') > 0) return true;
  if (holderOf(replies, quorum) !== undefined) return false;
  const [some, ...others] = namedBy(replies);
  return some?.some((holder) => others.every((names) => names.includes(holder))) === false;
}

/** Whom each node names that names anybody. */
function namedBy(replies: readonly Reply<Vote>[]): (readonly string[])[] {
  return replies.flatMap((reply) => {
    const vote = reply?.value;
    if (vote === undefined || vote.state === 'granted' || vote.holders.length === 0) return [];
    return [vote.holders];
  });
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
export function stateOf(views: readonly Inspection[], quorum: number): KeyState {
  const holders = agreed(
    views.map((view) => view.holders),
    quorum,
  );
  const queue = agreed(
    views.map((view) => view.queue),
    quorum,
  );
  const reached = (numbers: readonly number[]) => reachedBy(quorum, numbers);
  return {
    holders: holders
      .map((leases): HolderState => {
        const [{ id }] = leases;
        return {
          id,
          token: commonToken(leases),
          // Where it was made a shared one it stays one, and the others follow.
          mode: leases.some(({ mode }) => mode === 'shared') ? 'shared' : 'exclusive',
          age: reached(leases.map(({ age }) => age)),
          remaining: reached(leases.map(({ remaining }) => remaining)),
        };
      })
      .sort((one, other) => one.token - other.token),
    waiters: reached(views.map(({ waiters }) => waiters)),
    queue: queue
      .map((places) => [reached(places.map(({ ticket }) => ticket)), places] as const)
      .sort(([one], [other]) => one - other)
      .slice(0, MOST_SHOWN)
      .map(([, places]): WaiterState => {
        const [{ id, mode }] = places;
        return { id, mode, age: reached(places.map(({ age }) => age)) };
      }),
  };
}

/** How many requests of those that the answers name a majority may have, with these nodes unheard. */
export function countOf(
  answers: readonly (readonly string[])[],
  unheard: number,
  quorum: number,
): number {
  const times = new Map<string, number>();
  for (const id of answers.flat()) times.set(id, (times.get(id) ?? 0) + 1);
  return [...times.values()].filter((count) => count + unheard >= quorum).length;
}

/** What a majority says of each of those of which one does. */
function agreed<T extends { readonly id: string }>(
  views: readonly (readonly T[])[],
  quorum: number,
): [T, ...T[]][] {
  const said = new Map<string, [T, ...T[]]>();
  for (const one of views.flat()) {
    const others = said.get(one.id);
    if (others === undefined) said.set(one.id, [one]);
    else others.push(one);
  }
  return [...said.values()].filter(({ length }) => length >= quorum);
}

/** The greatest number that so many have reached. */
function reachedBy(quorum: number, numbers: readonly number[]): number {
  return [...numbers].sort((one, other) => other - one)[quorum - 1] ?? 0;
}

/** The token that most nodes have for a lease. */
function commonToken(leases: readonly HolderState[]): number {
  const times = (token: number) => leases.filter((lease) => lease.token === token).length;
  return leases
    .map(({ token }) => token)
    .reduce((one, other) => (times(other) > times(one) ? other : one));
}
