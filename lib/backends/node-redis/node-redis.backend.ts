import type { InspectOptionsStylized } from 'node:util';
import { checkIsOptions } from '../../options/option-checks.js';
import { PRINTED, printed } from '../../text/printed.js';
import type { BackendConnection, LockBackend, LockProcess } from '../lock-backend.js';
import { SubscriberMailbox } from '../redis-common/mailbox.js';
import { ClusterMailbox } from '../redis/cluster-mailbox.js';
import { ClusterRouter } from '../redis/cluster-router.js';
import { RedisConnection, type RedisSettings } from '../redis/redis-connection.js';
import {
  readSettings,
  refuseOnCluster,
  type RedisBackendSettings,
} from '../redis/redis-settings.js';
import type { ClusterNode } from './cluster-node.js';
import { duplicated, type NodeRedisClient } from './node-redis-client.js';
import { NodeRedisCluster } from './node-redis-cluster.js';
import { NodeRedisConnection } from './node-redis-connection.js';
import {
  keyPrefixOf,
  readTarget,
  type DuplicableNodeRedisClient,
  type NodeRedisTarget,
} from './node-redis-target.js';
import { SentinelMaster } from './sentinel.js';

/** Where the server is: exactly one of `url` and `client`. */
export type NodeRedisBackendOptions = RedisBackendSettings &
  (
    | {
        /**
         * A client of createClient, createSentinel or createCluster. It is duplicated, never used itself
         * and never closed; it need not be connected.
         */
        client: DuplicableNodeRedisClient;
        url?: never;
      }
    | {
        /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. */
        url: string;
        client?: never;
      }
  );

/**
 * Locks on Redis (6.2 or newer) by the client `redis` (node-redis): the same locks as those of
 * RedisBackend, with whose processes it shares them in the same namespace. Opens two connections for
 * each LockService: one for commands, one to be told of grants; on a Cluster up to two for each master.
 *
 * @throws LockConfigurationError for bad options
 */
export class NodeRedisBackend implements LockBackend {
  readonly name = 'redis';
  readonly minTtl = 10;
  readonly supports = { shared: true, limit: true };
  /** Behind a function, into which no printer looks: it has credentials. */
  private readonly target: () => NodeRedisTarget;
  private readonly settings: RedisSettings;

  constructor(options: NodeRedisBackendOptions) {
    checkIsOptions(options);
    const { common, target } = readSettings(options);
    const where = readTarget(target);
    this.target = () => where;
    const spread = where.kind === 'cluster';
    this.settings = { ...common, keyPrefix: keyPrefixOf(where), spread };
    if (spread) refuseOnCluster(this.settings);
  }

  connect(process: LockProcess): BackendConnection {
    const { patience } = this.settings;
    const target = this.target();
    const warn = (message: string) => {
      process.warn(message);
    };
    if (target.kind === 'cluster') {
      const cluster = new NodeRedisCluster(target.options, patience);
      const router = new ClusterRouter(cluster);
      const subscribe = (node: ClusterNode) => node.another();
      const mailbox = new ClusterMailbox(cluster, router, subscribe, patience, warn);
      return new RedisConnection(process, { cluster, router }, mailbox, this.settings);
    }
    const open = opener(target, patience);
    const connection = () => new NodeRedisConnection({ open, silence: patience, reconnects: true });
    const mailbox = new SubscriberMailbox(connection(), patience, warn);
    return new RedisConnection(process, { one: connection() }, mailbox, this.settings);
  }

  /** @internal What is logged of it. */
  toJSON(): object {
    return { name: this.name, namespace: this.settings.namespace };
  }

  /** @internal */
  [PRINTED](depth: number, options: InspectOptionsStylized): string {
    return printed('NodeRedisBackend', this.toJSON(), depth, options);
  }
}

/** Makes clients of the server to connect to now. */
function opener(
  target: Exclude<NodeRedisTarget, { readonly kind: 'cluster' }>,
  silence: number,
): () => NodeRedisClient | Promise<NodeRedisClient> {
  if (target.kind === 'node') return () => duplicated(target.client, silence);
  const master = new SentinelMaster(target.options, silence);
  return () => master.open();
}
