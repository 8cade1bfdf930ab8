import { readDuration } from '../../options/duration.js';
import { LockConfigurationError } from '../../errors/index.js';
import { shown } from '../../text/shown.js';
import { checkNamespace } from '../redis-common/namespace.js';
import type { FailoverGrace } from './failover-guard.js';
import type { RedisSettings } from './redis-connection.js';

/** What can be said of locks on Redis beside where it is. */
export interface RedisBackendSettings {
  /**
   * Keeps the locks of different applications on one server apart. It becomes part of every name
   * at the server: `{namespace:0}:lock:order:7`.
   * @default 'nestjs-lock'
   */
  namespace?: string;

  /**
   * How long to wait for a reply before a request is sent again and the connection made anew. A
   * server that was quick before is waited for at most 500 ms, once, where nothing was heard for 10 s
   * or the caller has `wait: 0`. Callers are bound by their own `wait` in any case.
   * @default '2s'
   */
  commandTimeout?: number | string;

  /**
   * What to do when the server forgot what it granted, as it restarted or another node took over
   * before it had all: with `'on'` (or `true`) nothing new is granted until every lease of before
   * must have ended, while holders keep theirs. With `'strict'` also when nobody can tell whether
   * the server forgot anything: then the first start of all waits as well, for `longestTtl`. One
   * node and Sentinel only. docs/backends/redis.md says what it costs and what it needs.
   * @default 'off'
   */
  failoverGrace?: 'off' | 'on' | 'strict' | boolean;

  /**
   * The longest ttl that is used in this namespace, for `failoverGrace: 'strict'` when the server
   * does not know it any more. Milliseconds, or a string such as `'30s'`.
   * @default '30s'
   */
  longestTtl?: number | string;

  /**
   * How many replicas must have a grant before it is believed; with too few it is given back, and
   * asked for again while `wait` allows. A help and no guarantee: Sentinel may choose a replica that
   * has it not. Costs a second round trip. One node and Sentinel only.
   * @default 0
   */
  replicas?: number;
}

/** The ways to say it; undefined stands for off. */
const GRACES = new Map<unknown, FailoverGrace | undefined>([
  ['off', undefined],
  [false, undefined],
  ['on', 'on'],
  [true, 'on'],
  ['strict', 'strict'],
]);

function readFailoverGrace(given: unknown): FailoverGrace | undefined {
  if (GRACES.has(given)) return GRACES.get(given);
  throw new LockConfigurationError(
    `failoverGrace must be 'off', 'on' or 'strict', got ${shown(given)}`,
  );
}

function readReplicas(given: unknown): number {
  if (Number.isSafeInteger(given) && (given as number) >= 0) return given as number;
  throw new LockConfigurationError(`replicas must be a whole number from 0, got ${shown(given)}`);
}

/** Reads what was given, with the defaults. What else was given says where Redis is. */
export function readSettings<Given extends RedisBackendSettings>(given: Given) {
  const {
    namespace = 'nestjs-lock',
    commandTimeout = '2s',
    failoverGrace = 'off',
    longestTtl = '30s',
    replicas = 0,
    ...target
  } = given;
  checkNamespace(namespace);
  const common = {
    namespace,
    patience: readDuration('commandTimeout', commandTimeout),
    failoverGrace: readFailoverGrace(failoverGrace),
    longestTtl: readDuration('longestTtl', longestTtl),
    replicas: readReplicas(replicas),
  };
  return { common, target };
}

/** What one shard knows of itself says nothing of the others. */
export function refuseOnCluster({ failoverGrace, replicas }: RedisSettings): void {
  if (failoverGrace !== undefined) {
    throw new LockConfigurationError(
      `failoverGrace is for one node and Sentinel, got ${shown(failoverGrace)} on a Cluster`,
    );
  }
  if (replicas > 0) {
    throw new LockConfigurationError(
      `replicas is for one node and Sentinel, got ${replicas} on a Cluster`,
    );
  }
}
