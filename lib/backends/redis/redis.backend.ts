import type { InspectOptionsStylized } from 'node:util';
import type { RedisOptions } from 'ioredis';
import { checkIsOptions } from '../../options/option-checks.js';
import { PRINTED, printed } from '../../text/printed.js';
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
} from '../redis-common/ioredis-client.js';
import { isCluster, openCluster, openSubscriber, type IoredisNode } from './ioredis-cluster.js';
import { RedisConnection, type RedisSettings } from './redis-connection.js';
import { ProvidedLogin, type RedisCredentialsProvider } from '../redis-common/login.js';
import { checkCredentials } from '../redis-common/target-checks.js';
import { readSettings, refuseOnCluster, type RedisBackendSettings } from './redis-settings.js';
import { readTarget } from './redis-target.js';

interface IoredisSettings {
  /**
   * Gives username and password of now, where they live for minutes only, as tokens of AWS IAM and of
   * Microsoft Entra do: called before each connection is made, and again after it failed. Goes before what `url`, `options` or `client` say. Not for sentinels.
   * @default what the options of the client say when a connection is made
   */
  credentials?: RedisCredentialsProvider;
}

/** Where the server is: exactly one of `url`, `options`, `client` and `cluster`. */
export type RedisBackendOptions = RedisBackendSettings &
  IoredisSettings &
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
    const { credentials, ...others } = options;
    const { common, target } = readSettings(others);
    checkCredentials(credentials);
    this.credentials = credentials;
    const where = readTarget(target);
    this.target = () => where;
    const spread = isCluster(where);
    this.settings = { ...common, keyPrefix: keyPrefixOf(where), spread };
    if (spread) refuseOnCluster(this.settings);
  }

  connect(process: LockProcess): BackendConnection {
    const { patience } = this.settings;
    const target = this.target();
    const login = this.credentials && new ProvidedLogin(this.credentials, patience);
    const warn = (message: string) => {
      process.warn(message);
    };
    if (isCluster(target)) {
      const cluster = openCluster(target, patience, login);
      const router = new ClusterRouter(cluster);
      const subscribe = (node: IoredisNode) => openSubscriber(node, patience);
      const mailbox = new ClusterMailbox(cluster, router, subscribe, patience, warn);
      return new RedisConnection(process, { cluster, router }, mailbox, this.settings);
    }
    const mailbox = new SubscriberMailbox(openClient(target, patience, login), patience, warn);
    const one = openCommandClient(target, patience, login);
    return new RedisConnection(process, { one }, mailbox, this.settings);
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
