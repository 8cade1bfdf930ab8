import type { ResourceKeys } from '../../redis-common/keyspace.js';
import type { CommonCalls, Failed, Inspected } from '../../redis-common/scripts/calls.js';

/** What becomes of one of the requests that acquire.lua is given. */
export type AcquireAnswer =
  | number
  | readonly [state: 'granted', token: number]
  | readonly [state: 'waiting', remaining: number, place: number]
  | readonly [state: 'busy', otherLimit?: number]
  | readonly [state: 'grace', left: number]
  | Failed;

export type AcquireAnswers = readonly [
  now: number,
  longest: number | 'late' | 'stranger',
  ...answers: AcquireAnswer[],
];

/** Why acquire-all.lua grants nothing; an index counts from 1. */
export type Refusal =
  | readonly [state: 'busy', index: number, otherLimit?: number]
  | readonly [state: 'grace', left: number];

/** What a heartbeat tells of one waiter. */
export type Seen =
  | readonly [state: 'granted', token: number, remaining: number]
  | readonly [state: 'waiting', remaining: number, place: number]
  | readonly [state: 'dropped']
  | Failed;

type Namespace = readonly [sequence: string, guard: string];

/** The longest ttl and the time are milliseconds, `run` is '' for no guard, `address` as _tell.lua has it. */
export interface RedisCalls extends CommonCalls {
  readonly acquire: {
    readonly keys: readonly [...Namespace, ...locks: string[]];
    readonly args: readonly [
      run: string,
      address: string,
      liveness: number,
      voidAfter: number,
      requests: string,
    ];
    readonly reply: AcquireAnswers;
  };
  readonly 'acquire-all': {
    readonly keys: readonly [...Namespace, ...locks: string[]];
    readonly args: readonly [run: string, voidAfter: number, ...requests: string[]];
    readonly reply:
      | readonly [now: number, nothing: 'late' | 'stranger']
      | readonly [now: number, longest: number, refusal: Refusal]
      | readonly [now: number, longest: number, ...tokens: number[]];
  };
  readonly cancel: {
    readonly keys: readonly [...Namespace, ...ResourceKeys];
    readonly args: readonly [run: string, address: string, id: string, terms: string];
    readonly reply: 0 | 1;
  };
  readonly clock: {
    readonly keys: Namespace;
    readonly args: readonly [];
    readonly reply: readonly [now: number, guarded: 0 | 1];
  };
  readonly downgrade: {
    readonly keys: readonly [...Namespace, ...ResourceKeys];
    readonly args: readonly [run: string, address: string, id: string];
    readonly reply: 0 | 1 | 2;
  };
  readonly 'force-release': {
    readonly keys: readonly [...Namespace, ...ResourceKeys, told: string];
    readonly args: readonly [run: string, address: string];
    readonly reply: number;
  };
  readonly heartbeat: {
    readonly keys: readonly [...Namespace, ...locks: string[]];
    readonly args: readonly [run: string, address: string, liveness: number, ...waiters: string[]];
    readonly reply: readonly [now: number, heard: 0 | 1 | 'stranger', ...seen: Seen[]];
  };
  readonly heartbeats: {
    readonly keys: readonly [any: string];
    readonly args: readonly (string | number)[];
    readonly reply: readonly (RedisCalls['heartbeat']['reply'] | Failed)[];
  };
  readonly inspect: {
    readonly keys: ResourceKeys;
    readonly args: readonly [most: number];
    readonly reply: Inspected;
  };
  readonly release: {
    readonly keys: readonly [...Namespace, ...locks: string[]];
    readonly args: readonly [run: string, address: string, leases: string];
    readonly reply: readonly (0 | 1 | 2 | Failed)[];
  };
  readonly renew: {
    readonly keys: readonly [...Namespace, ...locks: string[]];
    readonly args: readonly [run: string, address: string, leases: string];
    readonly reply: readonly [heard: 0 | 1, ...renewed: (0 | 1 | Failed)[]] | 'stranger';
  };
  readonly revoke: {
    readonly keys: readonly [lock: string, told: string];
    readonly args: readonly [address: string, grace: number, reason: string];
    readonly reply: number;
  };
  readonly word: {
    readonly keys: readonly [told: string];
    readonly args: readonly [process: string];
    readonly reply: readonly string[];
  };
}
