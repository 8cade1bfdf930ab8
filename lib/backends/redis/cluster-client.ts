import { Cluster, type ClusterOptions } from 'ioredis';
import {
  duplicated,
  ownOptions,
  type RedisClient,
  type RedisTarget,
} from '../redis-common/redis-client.js';

/** What we need of an ioredis Cluster, by structure, on top of what any client offers. */
export interface ClusterClient extends RedisClient {
  /** By slot the nodes that have it, master first, each as `host:port`. */
  readonly slots: readonly (readonly string[] | undefined)[];
  nodes(role: 'master'): readonly ClusterNode[];
  refreshSlotsCache(done: (error?: Error) => void): void;
}

export interface ClusterNode extends Pick<RedisClient, 'call' | 'scan'> {
  readonly options: { readonly host?: string | undefined; readonly port?: number | undefined };
  duplicate(override: object): unknown;
}

/** Some nodes of a Cluster, or a client of the user's. */
export type ClusterTarget = Extract<
  RedisTarget,
  { readonly cluster: unknown } | { readonly client: unknown }
>;

export function isCluster(target: RedisTarget): target is ClusterTarget {
  return 'cluster' in target || ('client' in target && target.client.isCluster === true);
}

/** A Cluster of our own, not yet connected. Its nodes insist on what our single connections insist on. */
export function openCluster(target: ClusterTarget, silence: number): ClusterClient {
  const own = {
    lazyConnect: true,
    // For nodes that are being connected to: nothing is asked before the Cluster itself is ready.
    enableOfflineQueue: true,
    enableAutoPipelining: false,
    keyPrefix: '',
    scaleReads: 'master',
    // A Cluster that cannot serve says so to who asks.
    enableReadyCheck: false,
    // Nothing is sent again but by those who know what it means.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    shardedSubscribers: false,
    // A node that is gone is not waited for: another one says where its slots are now.
    clusterNodeRetryStrategy: null,
    clusterRetryStrategy: (times: number) =>
      Math.min(50 * times, 1_000) * (0.5 + Math.random() / 2),
  } satisfies ClusterOptions;
  const redisOptions = { ...ownOptions(silence), retryStrategy: null };
  if ('client' in target) {
    // ioredis 5 would forget the user's.
    const theirs = { ...target.client.options.redisOptions, ...redisOptions };
    return duplicated(target.client, [], { ...own, redisOptions: theirs }) as ClusterClient;
  }
  const [first = ''] = target.cluster;
  const { protocol, username, password } = new URL(first);
  return new Cluster([...target.cluster], {
    ...own,
    redisOptions: {
      ...redisOptions,
      ...(username !== '' && { username: decodeURIComponent(username) }),
      ...(password !== '' && { password: decodeURIComponent(password) }),
      ...(protocol === 'rediss:' && { tls: {} }),
    },
  }) as unknown as ClusterClient;
}
