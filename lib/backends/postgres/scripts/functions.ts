import type { LeaseRenewal } from '../../lock-backend.js';

/** What every reply begins with: which server it was, and its clock in milliseconds. */
type Reply<Answers extends readonly unknown[]> = readonly [
  server: string,
  now: number,
  ...answers: Answers,
];

/** What becomes of one of the requests that acquire is given. */
export type AcquireAnswer =
  | readonly [state: 'granted', token: number, reserved: number]
  | readonly [state: 'waiting', remaining: number, place: number]
  | readonly [state: 'busy', otherLimit?: number]
  | readonly [state: 'closed', remaining: number];

/** Why acquire_all grants nothing; an index counts from 0. */
export type Refusal =
  | readonly [state: 'busy', index: number, otherLimit?: number]
  | readonly [state: 'closed', index: number, remaining: number];

/** What a heartbeat tells of one waiter. */
export type Seen =
  | readonly [state: 'granted', token: number, remaining: number]
  | readonly [state: 'waiting', remaining: number, place: number]
  | readonly [state: 'dropped'];

/** A later one has a greater number. */
export type Revoked = readonly [number: number, grace: number, reason: string];

export type Renewed = boolean | null | Revoked;

export interface InspectedHolder extends Pick<LeaseRenewal, 'id' | 'token'> {
  readonly shared: boolean;
  readonly age: number;
  readonly remaining: number;
}

export type InspectedWaiter = Pick<InspectedHolder, 'id' | 'shared' | 'age'>;

/** The functions that are called, with what they take and reply; lists travel as JSON. Times are milliseconds. */
export interface PostgresFunctions {
  readonly acquire: {
    readonly args: readonly [
      namespace: string,
      notAfter: number,
      liveness: number,
      listens: boolean,
      requests: string,
    ];
    readonly reply: Reply<AcquireAnswer[]>;
  };
  readonly acquire_all: {
    readonly args: readonly [namespace: string, notAfter: number, requests: string];
    readonly reply: Reply<number[] | [refusal: Refusal]>;
  };
  readonly release: {
    readonly args: readonly [namespace: string, leases: string];
    readonly reply: Reply<boolean[]>;
  };
  readonly cancel: {
    readonly args: readonly [namespace: string, key: string, id: string];
    readonly reply: Reply<[]>;
  };
  readonly downgrade: {
    readonly args: readonly [namespace: string, key: string, id: string];
    readonly reply: Reply<[owned: boolean]>;
  };
  readonly renew: {
    readonly args: readonly [namespace: string, leases: string];
    readonly reply: Reply<Renewed[]>;
  };
  readonly heartbeat: {
    readonly args: readonly [
      namespace: string,
      liveness: number,
      listens: boolean,
      waiters: string,
    ];
    readonly reply: Reply<Seen[]>;
  };
  readonly sweep: { readonly args: readonly []; readonly reply: Reply<[]> };
  readonly inspect: {
    readonly args: readonly [namespace: string, key: string, most: number];
    readonly reply: Reply<[holders: InspectedHolder[], waiters: number, queue: InspectedWaiter[]]>;
  };
  readonly list: {
    readonly args: readonly [namespace: string, after: string, pattern: string, most: number];
    readonly reply: Reply<string[]>;
  };
  readonly revoke: {
    readonly args: readonly [namespace: string, key: string, grace: number, reason: string];
    readonly reply: Reply<[count: number]>;
  };
  readonly force_release: {
    readonly args: readonly [namespace: string, key: string];
    readonly reply: Reply<[count: number]>;
  };
  readonly enter: {
    readonly args: readonly [];
    readonly reply: Reply<[version: number, serves: number]>;
  };
  readonly beat: { readonly args: readonly [process: string]; readonly reply: Reply<[]> };
}
