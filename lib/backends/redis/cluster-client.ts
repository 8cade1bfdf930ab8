import type { Connection, RedisClient } from '../redis-common/redis-client.js';

/**
 * What we need of the connections to a Cluster, by structure: a Cluster of ioredis 5 or 6 fits as it is.
 * @typeParam Node what it has for each node
 */
export interface ClusterClient<Node extends ClusterNode = ClusterNode> extends Connection {
  /** By slot the nodes that have it, master first, each as `host:port`. */
  readonly slots: readonly (readonly string[] | undefined)[];
  nodes(role: 'master'): readonly Node[];
  refreshSlotsCache(done: (error?: Error) => void): void;
}

export interface ClusterNode extends Pick<RedisClient, 'call' | 'scan' | 'disconnect' | 'stream'> {
  readonly options: { readonly host?: string | undefined; readonly port?: number | undefined };
}
