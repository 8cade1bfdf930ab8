import type { InspectOptionsStylized } from 'node:util';
import type { RedisOptions } from 'ioredis';
import { readDuration } from '../../duration.js';
import { checkIsOptions } from '../../option-checks.js';
import { PRINTED, printed } from '../../printed.js';
import type { BackendConnection, LockBackend, LockProcess } from '../lock-backend.js';
import { SubscriberMailbox } from '../redis-common/mailbox.js';
import { ClusterMailbox } from './cluster-mailbox.js';
import { ClusterRouter } from './cluster-router.js';
import {
  keyPrefixOf,
  openClient,
  openCommandClient,
  type DuplicableRedisClient,
  type RedisTarget,
} from '../redis-common/redis-client.js';
import { ProvidedLogin, type RedisCredentialsProvider } from '../redis-common/login.js';
import { checkCredentials, checkNamespace } from '../redis-common/target-checks.js';
import { isCluster, openCluster } from './cluster-client.js';
import { RedisConnection, type RedisSettings } from './redis-connection.js';
import { readFailoverGrace, readReplicas, readTarget, refuseOnCluster } from './redis-options.js';

interface RedisBackendSettings {
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

  /**
   * Gives username and password of now, where they live for minutes only, as tokens of AWS IAM and of
   * Microsoft Entra do: called before each connection is made, and again after it failed. Goes before what `url`, `options` or `client` say. Not for sentinels.
   * @default what the options of the client say when a connection is made
   */
  credentials?: RedisCredentialsProvider;
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
        /**
         * A `Redis` or a `Cluster` of ioredis 5 or 6. It is duplicated, never used itself and never closed.
         * What its options say of username and password is read whenever a connection is made.
         */
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
  readonly supports = { shared: true, limit: true };
  /** Behind a function, into which no printer looks: it has credentials. */
  private readonly target: () => RedisTarget;
  private readonly settings: RedisSettings;
  private readonly credentials: RedisCredentialsProvider | undefined;

  constructor(options: RedisBackendOptions) {
    checkIsOptions(options);
    const {
      namespace = 'nestjs-lock',
      commandTimeout = '2s',
      failoverGrace = 'off',
      longestTtl = '30s',
      replicas = 0,
      credentials,
      ...target
    } = options;
    checkNamespace(namespace);
    checkCredentials(credentials);
    this.credentials = credentials;
    const where = readTarget(target);
    this.target = () => where;
    this.settings = {
      keyPrefix: keyPrefixOf(where),
      namespace,
      patience: readDuration('commandTimeout', commandTimeout),
      failoverGrace: readFailoverGrace(failoverGrace),
      longestTtl: readDuration('longestTtl', longestTtl),
      replicas: readReplicas(replicas),
      spread: isCluster(where),
    };
    if (this.settings.spread) refuseOnCluster(this.settings);
  }

  connect(process: LockProcess): BackendConnection {
    const { patience } = this.settings;
    const target = this.target();
    const login = this.credentials && new ProvidedLogin(this.credentials, patience);
    const warn = (message: string) => {
      process.warn(message);
    };
    if (isCluster(target)) {
      const commands = openCluster(target, patience, login);
      const router = new ClusterRouter(commands);
      const mailbox = new ClusterMailbox(commands, router, patience, warn);
      return new RedisConnection(process, commands, mailbox, this.settings, router);
    }
    const mailbox = new SubscriberMailbox(openClient(target, patience, login), patience, warn);
    return new RedisConnection(
      process,
      openCommandClient(target, patience, login),
      mailbox,
      this.settings,
    );
  }

  /** @internal What is logged of it. */
  toJSON(): object {
    return { name: this.name, namespace: this.settings.namespace };
  }

  /** @internal */
  [PRINTED](depth: number, options: InspectOptionsStylized): string {
    return printed('RedisBackend', this.toJSON(), depth, options);
  }
}
