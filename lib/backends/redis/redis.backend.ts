import type { RedisOptions } from 'ioredis';
import { LockConfigurationError } from '../../errors/index.js';
import { shown } from '../../errors/shown.js';
import { readDuration } from '../../duration.js';
import { checkIsOptions } from '../../option-checks.js';
import type { BackendConnection, LockBackend, LockProcess } from '../lock-backend.js';
import type { FailoverGrace } from './failover-guard.js';
import { isCluster, openCluster } from './cluster-client.js';
import { ClusterMailbox } from './cluster-mailbox.js';
import { SubscriberMailbox } from './mailbox.js';
import {
  keyPrefixOf,
  openClient,
  unwelcomeParameters,
  type DuplicableRedisClient,
  type RedisTarget,
} from './redis-client.js';
import { RedisConnection, type RedisSettings } from './redis-connection.js';

interface RedisBackendSettings {
  /**
   * Keeps the locks of different applications on one server apart. It becomes part of every name
   * at the server: `{namespace:0}:lock:order:7`.
   * @default 'nestjs-lock'
   */
  namespace?: string;

  /**
   * How long to wait for a reply before a request is sent again and the connection made anew.
   * Callers are bound by their own `wait` in any case.
   * @default '2s'
   */
  commandTimeout?: number | string;

  /**
   * What to do when the server forgot what it granted, as it restarted or another node took over
   * before it had all: with `'on'` (or `true`) nothing new is granted until every lease of before
   * must have ended, while holders keep theirs. With `'strict'` also when nobody can tell whether
   * the server forgot anything: then the first start of all waits as well, for `longestTtl`. One
   * node and Sentinel only. See the README for what it costs and what it needs.
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

/** Where the server is: exactly one of `url`, `options`, `client` and `cluster`. */
export type RedisBackendOptions = RedisBackendSettings &
  (
    | {
        /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. */
        url: string;
        options?: never;
        client?: never;
        cluster?: never;
      }
    | {
        /** Options of ioredis: `{ host, port, tls }`, or `{ sentinels, name }`. */
        options: RedisOptions;
        url?: never;
        client?: never;
        cluster?: never;
      }
    | {
        /** A `Redis` or a `Cluster` of ioredis 5 or 6. It is duplicated, never used itself and never closed. */
        client: DuplicableRedisClient;
        url?: never;
        options?: never;
        cluster?: never;
      }
    | {
        /** URLs of some nodes of a Redis Cluster; credentials and TLS of the first are those of all. */
        cluster: readonly string[];
        url?: never;
        options?: never;
        client?: never;
      }
  );

/**
 * Locks on Redis (6.2 or newer): on one node, on the master that Sentinel names, or on a Cluster, for
 * all processes that use the same namespace there. Opens two connections for each LockService: one
 * for commands, one to be told of grants; on a Cluster up to two for each node.
 *
 * @throws LockConfigurationError for bad options
 */
export class RedisBackend implements LockBackend {
  readonly name = 'redis';
  readonly minTtl = 10;
  readonly #target: RedisTarget;
  readonly #settings: RedisSettings;

  constructor(options: RedisBackendOptions) {
    checkIsOptions(options);
    const {
      namespace = 'nestjs-lock',
      commandTimeout = '2s',
      failoverGrace = 'off',
      longestTtl = '30s',
      replicas = 0,
      ...target
    } = options;
    checkNamespace(namespace);
    this.#target = readTarget(target);
    this.#settings = {
      keyPrefix: keyPrefixOf(this.#target),
      namespace,
      patience: readDuration('commandTimeout', commandTimeout),
      failoverGrace: readFailoverGrace(failoverGrace),
      longestTtl: readDuration('longestTtl', longestTtl),
      replicas: readReplicas(replicas),
      spread: isCluster(this.#target),
    };
    if (this.#settings.spread) refuseOnCluster(this.#settings);
  }

  connect(process: LockProcess): BackendConnection {
    const { patience } = this.#settings;
    const warn = (message: string) => {
      process.warn(message);
    };
    if (isCluster(this.#target)) {
      const commands = openCluster(this.#target, patience);
      const mailbox = new ClusterMailbox(commands, patience, warn);
      // A node that is silent is given up by its own connection; the others go on.
      return new RedisConnection(process, commands, mailbox, this.#settings, () => {
        commands.refreshSlotsCache();
      });
    }
    const mailbox = new SubscriberMailbox(openClient(this.#target, patience), patience, warn);
    return new RedisConnection(
      process,
      openClient(this.#target, patience),
      mailbox,
      this.#settings,
    );
  }
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

/** What a namespace can be at most, in UTF-16 units. */
const LONGEST_NAMESPACE = 200;

function checkNamespace(namespace: unknown): asserts namespace is string {
  const fits =
    typeof namespace === 'string' &&
    /^[^{}\s]+$/.test(namespace) &&
    namespace.isWellFormed() &&
    namespace.length <= LONGEST_NAMESPACE;
  if (!fits) {
    throw new LockConfigurationError(
      `namespace must be a string of 1 to ${LONGEST_NAMESPACE} characters without braces and spaces, got ${shown(namespace)}`,
    );
  }
}

/** How each way to say where the server is, is checked. */
const WAYS: Readonly<Record<string, (value: unknown) => void>> = {
  url: checkUrl,
  options: checkIsOptions,
  client: checkClient,
  cluster: checkCluster,
};

function readTarget(given: Record<string, unknown>): RedisTarget {
  const named = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [option, value] of named) {
    if (Object.hasOwn(WAYS, option)) continue;
    throw new LockConfigurationError(
      `unknown option ${shown(option)} of RedisBackend, got ${/password/i.test(option) ? '***' : shown(value)}`,
    );
  }
  const [way, another] = named;
  if (way === undefined || another !== undefined) {
    throw new LockConfigurationError(
      `RedisBackend needs exactly one of url, options, client and cluster, got ${shown(named.map(([option]) => option))}`,
    );
  }
  const [option, value] = way;
  WAYS[option]?.(value);
  return Object.fromEntries([way]) as RedisTarget;
}

function checkUrl(url: unknown): void {
  if (typeof url !== 'string' || !/^rediss?:\/\//.test(url) || !URL.canParse(url)) {
    throw new LockConfigurationError(`url must be a redis:// or rediss:// URL, got ${shown(url)}`);
  }
  const [parameter] = unwelcomeParameters(url);
  if (parameter !== undefined) {
    throw new LockConfigurationError(`url must not set ${parameter}, got ${shown(url)}`);
  }
}

function checkClient(client: unknown): void {
  const { duplicate } = (client ?? {}) as Partial<DuplicableRedisClient>;
  if (typeof duplicate !== 'function') {
    throw new LockConfigurationError(`client must be an ioredis client, got ${shown(client)}`);
  }
}

function checkCluster(nodes: unknown): void {
  if (!Array.isArray(nodes) || nodes.length === 0) {
    throw new LockConfigurationError(`cluster must be a list of URLs, got ${shown(nodes)}`);
  }
  nodes.forEach(checkUrl);
}

/** What one shard knows of itself says nothing of the others. */
function refuseOnCluster({ failoverGrace, replicas }: RedisSettings): void {
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
