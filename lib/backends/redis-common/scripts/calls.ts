import type { Delivery } from '../mailbox.js';

/** What a script takes, and replies; in the order and the words of its header. */
export interface Call {
  readonly keys: readonly string[];
  readonly args: readonly (string | number)[];
  readonly reply: unknown;
}

/** Calls by the names of their scripts. */
export type Calls<All> = { readonly [Name in keyof All]: Call };

/** What each_alone says of one among many: see _each.lua. */
export type Failed = readonly [state: 'failed', error: string];

/** Who has a lock, and who waits for it. */
export type Inspected = readonly [
  now: number,
  limit: number,
  holders: readonly (readonly [id: string, token: number, remaining: number])[],
  waiters: number,
  /** Of each a member of the queue, and its ticket. */
  shown: readonly string[],
];

/** What is asked of any Redis: of one that stands alone, and of each node of a quorum. */
export interface CommonCalls {
  readonly check: {
    readonly keys: readonly [string: string, set: string, hash: string];
    readonly args: readonly [delivery: Delivery, channel: string];
    readonly reply: readonly string[];
  };
  readonly enter: {
    readonly keys: readonly [sequence: string, guard: string];
    readonly args: readonly [
      run: string,
      known: string,
      suspicious: 0 | 1,
      longest: number,
      token: number,
    ];
    readonly reply: readonly [now: number, grace: number, longest: number, begun: 0 | 1];
  };
}
