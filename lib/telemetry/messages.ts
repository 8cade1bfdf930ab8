import type { LockLostError, LockLostReason } from '../errors/index.js';
import type { LockMode, ReleaseOutcome } from '../interfaces/index.js';

/** Where a message comes from. */
export interface MessageSource {
  /** Tells the LockServices apart: each has a name of its own, made up. */
  readonly service: string;
  /** The `name` of the backend: `memory`, `redis`, `redlock`, `etcd`. */
  readonly backend: string;
  /** The name of the LockModule, where it has one. */
  readonly instance: string | undefined;
}

/** What a lock is called where there may be too many keys: the same for all calls of one place. */
export interface MessageTemplate {
  /**
   * What was written, not what was locked: `order:{0.id}` of a decorator, `Class.method` for one with
   * a function, the option `template` of a call; undefined without.
   */
  readonly template: string | undefined;
}

/** What became of a request: `failed` is whatever is not another's doing, as that the backend is down. */
export type AcquireOutcome = 'granted' | 'busy' | 'aborted' | 'shutdown' | 'failed';

/**
 * Whence a lock came: `none`, it was free when the store was asked; `local`, a holder of the same
 * LockService handed it over without the store; `remote`, the store told when it was its turn. Of several
 * keys the last of these that any of them has.
 */
export type Handoff = 'none' | 'local' | 'remote';

/** On `nestjs-lock:acquire`. One request, be it for several keys. */
export interface AcquireMessage extends MessageSource, MessageTemplate {
  readonly keys: readonly string[];
  /** The decorated method, as `Class.method`; undefined for calls of the service. */
  readonly where: string | undefined;
  readonly mode: LockMode;
  readonly limit: number;
  /** Milliseconds. */
  readonly ttl: number;
  /** Milliseconds, maybe infinite; 0 for one attempt. */
  readonly wait: number;
  /** Whether it was not free, and so was queued for. */
  waited: boolean;
  /** At the end: what became of it. */
  outcome?: AcquireOutcome;
  /** At the end: milliseconds since the call. */
  duration?: number;
  /** At the end, if granted: a token for each of the keys. */
  fencingTokens?: readonly number[];
  /** At the end, if granted: whence it came. */
  handoff?: Handoff;
  /** At the end: why the call rejects. Undefined where busy is no error: `tryAcquire` and `onBusy`. */
  error?: unknown;
}

/**
 * On `nestjs-lock:hold`. What runs under the lock, or a lock that `acquire` gave: that ends with its
 * loss too. There is none for who enters a lock again that the async context holds.
 */
export interface HoldMessage extends MessageSource, MessageTemplate {
  readonly keys: readonly string[];
  /** Of each of the keys. */
  readonly fencingTokens: readonly number[];
  readonly where: string | undefined;
  readonly mode: LockMode;
  readonly limit: number;
  /** At the end: what the release answered, or why the lock was lost before. */
  outcome?: ReleaseOutcome;
  /** At the end: milliseconds from the grant to the release, or to the loss. */
  heldFor?: number;
  /** At the end, if it was lost. What the body throws is its own affair. */
  error?: LockLostError;
}

/** What a backend is asked for. */
export type BackendOperation =
  'acquire' | 'cancel' | 'renew' | 'release' | 'downgrade' | 'inspect' | 'revoke' | 'force_release';

/** On `nestjs-lock:backend`. One call of the backend, which may send several together to its store. */
export interface BackendMessage extends MessageSource {
  readonly operation: BackendOperation;
  /** How many locks it is about. */
  readonly requests: number;
  /** At the end: milliseconds. */
  duration?: number;
  /** At the end: why there is no answer. */
  error?: unknown;
}

/** On `nestjs-lock:lost`. */
export interface LostMessage extends MessageSource, MessageTemplate {
  readonly key: string;
  readonly fencingToken: number;
  readonly mode: LockMode;
  readonly reason: LockLostReason;
  /** Milliseconds since the lease was granted. */
  readonly heldFor: number;
  readonly error: LockLostError;
}

/** On `nestjs-lock:renewed`. */
export interface RenewedMessage extends MessageSource {
  /** How many leases were renewed. */
  readonly leases: number;
  /** Milliseconds until the backend answered. */
  readonly duration: number;
  /**
   * Which share of its validity was gone by then, of the lease that had the least left: 0.34 while all
   * is well, and at 1 it is lost.
   */
  readonly utilization: number;
}

/** On `nestjs-lock:revocation`. */
export interface RevocationMessage extends MessageSource, MessageTemplate {
  readonly key: string;
  readonly fencingToken: number;
  /** In the operator's words. */
  readonly reason: string;
  /** Milliseconds. */
  readonly grace: number;
}

/** On `nestjs-lock:leadership`. */
export interface LeadershipMessage extends MessageSource, MessageTemplate {
  readonly key: string;
  readonly state: 'elected' | 'deposed';
  readonly fencingToken: number;
}

/** On `nestjs-lock:paused`. */
export interface PausedMessage extends MessageSource {
  /** Its place among the nodes of the store, from 1. */
  readonly node: number;
  readonly until: Date;
  readonly why: string;
}

/** On `nestjs-lock:warning`. */
export interface WarningMessage extends MessageSource {
  readonly message: string;
}

/** What is told on each of the channels, by its name in CHANNELS. */
export interface ChannelMessages {
  acquire: AcquireMessage;
  hold: HoldMessage;
  backend: BackendMessage;
  lost: LostMessage;
  renewed: RenewedMessage;
  revocation: RevocationMessage;
  leadership: LeadershipMessage;
  paused: PausedMessage;
  warning: WarningMessage;
}
