import type { VoteReply } from './scripts/calls.js';

/**
 * What a node answers to who asks for a lock. `holders` are some who have it there, or the one that is
 * to get it before.
 */
export type Vote =
  | { readonly state: 'granted'; readonly token: number }
  | {
      readonly state: 'waiting';
      readonly remaining: number | undefined;
      readonly holders: readonly string[];
      readonly ticket: number;
    }
  | {
      readonly state: 'busy';
      readonly remaining: number | undefined;
      readonly holders: readonly string[];
    };

/** @throws Error when the node did not vote */
export function voteOf(reply: Exclude<VoteReply, readonly ['stranger', number]>): Vote {
  switch (reply[0]) {
    case 'granted':
      return { state: 'granted', token: reply[2] };
    case 'waiting':
    case 'busy': {
      const [state, , left, named, place] = reply;
      const holders = named === '-' ? [] : named.split(' ');
      const remaining = left < 0 ? undefined : left;
      if (state === 'busy') return { state, remaining, holders };
      return { state, remaining, holders, ticket: place ?? 0 };
    }
    case 'late':
      throw new Error('the request reached the node too late');
  }
}
