import type { ResourceKeys } from '../../redis-common/keyspace.js';
import type { CommonCalls, Failed, Inspected } from '../../redis-common/scripts/calls.js';

/** How a waiter stands at one node. */
export type Standing =
  | readonly [state: 'free' | 'dropped', none?: undefined]
  | readonly [state: 'waiting', remaining: number]
  | Failed;

export type VoteReply =
  | readonly [state: 'granted', now: number, token: number]
  | readonly [
      state: 'waiting' | 'busy',
      now: number,
      remaining: number,
      holders: string,
      ticket?: number,
    ]
  | readonly [state: 'late', now: number]
  | readonly [state: 'stranger', now: number];

/** How a lease is asked for: 's' to read, '' to hold alone. */
export type Kind = 's' | '';

/** What a node is asked. Times are milliseconds; `channel` is what stands before the process id. */
export interface RedlockCalls extends CommonCalls {
  readonly beat: {
    readonly keys: readonly [guard: string, ...locks: string[]];
    readonly args: readonly [run: string, channel: string, liveness: number, ...waiters: string[]];
    readonly reply: readonly [heard: 0 | 1 | 'stranger', ...seen: Standing[]];
  };
  readonly confirm: {
    readonly keys: readonly [sequence: string, lock: string];
    readonly args: readonly [id: string, kind: Kind, token: number];
    readonly reply: 0 | 1;
  };
  readonly downgrade: {
    readonly keys: readonly [guard: string, ...ResourceKeys];
    readonly args: readonly [run: string, channel: string, id: string];
    readonly reply: 0 | 1 | 2 | 'stranger';
  };
  readonly 'force-release': {
    readonly keys: readonly [guard: string, ...ResourceKeys];
    readonly args: readonly [
      run: string,
      channel: string,
      ended: string,
      mark: string,
      ...only: string[],
    ];
    readonly reply: readonly [state: 'open' | 'grace' | 'stranger', ...ids: string[]];
  };
  readonly inspect: {
    readonly keys: ResourceKeys;
    readonly args: readonly [most: number];
    readonly reply: Inspected;
  };
  readonly leave: {
    readonly keys: readonly [guard: string, ...ResourceKeys];
    readonly args: readonly [
      run: string,
      channel: string,
      liveness: number,
      id: string,
      kind: Kind,
      vote: number,
      ticket: number,
      keepFor: number,
      keptToken: number,
    ];
    readonly reply: 0 | 1;
  };
  readonly memory: {
    readonly keys: readonly [sequence: string, guard: string];
    readonly args: readonly [];
    readonly reply: readonly [run: string, longest: number, token: number];
  };
  readonly renew: {
    readonly keys: readonly [sequence: string, guard: string, ...locks: string[]];
    readonly args: readonly [
      run: string,
      channel: string,
      repairs: 0 | 1,
      ended: string,
      ...leases: (string | number)[],
    ];
    readonly reply: readonly [heard: 0 | 1, ...renewed: (0 | 1 | 2 | Failed)[]] | 'stranger';
  };
  readonly revoke: {
    readonly keys: readonly [lock: string];
    readonly args: readonly [channel: string, mark: string, grace: number, reason: string];
    readonly reply: readonly string[];
  };
  readonly vote: {
    readonly keys: readonly [sequence: string, guard: string, ...ResourceKeys];
    readonly args: readonly [
      run: string,
      channel: string,
      liveness: number,
      voidAfter: number,
      id: string,
      kind: Kind,
      ttl: number,
      queue: 0 | 1,
      proposal: number,
      ticket: number,
    ];
    readonly reply: VoteReply;
  };
}
