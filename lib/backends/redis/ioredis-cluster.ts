import { Cluster, type ClusterOptions } from 'ioredis';
import { FollowedLogin, type Login, logInBy } from '../redis-common/login.js';
import {
  type DuplicableRedisClient,
  duplicated,
  keepAlive,
  ownOptions,
  type RedisTarget,
} from '../redis-common/ioredis-client.js';
import type { RedisClient } from '../redis-common/redis-client.js';
import type { ClusterClient, ClusterNode } from './cluster-client.js';

/** A connection of ioredis to one node. */
export interface IoredisNode extends ClusterNode {
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

/** A connection to a node of it, about to be made. */
type OwnNode = Parameters<typeof logInBy>[1] &
  Pick<RedisClient, 'on'> & { duplicate: (override: object) => OwnNode };

/**
 * A Cluster of our own, not yet connected. Its nodes insist on what our single connections insist on.
 * @param silence after how many milliseconds without an answer a node's connection is given up
 * @param login what the nodes are logged in to with, if that is not where the target says
 */
export function openCluster(
  target: ClusterTarget,
  silence: number,
  login?: Login,
): ClusterClient<IoredisNode> {
  const own =
    'client' in target ? copyOf(target.client, silence) : clusterOf(target.cluster, silence);
  const cluster = own as ClusterClient<IoredisNode>;
  const theirs = 'client' in target ? target.client : undefined;
  const followed = login ?? (theirs && new FollowedLogin(() => theirs.options.redisOptions));
  const listen = nameFailures(cluster);
  prepareNodes(cluster, (connection) => {
    listen(connection);
    if (followed !== undefined) logInBy(followed, connection, false);
  });
  return cluster;
}

const OWN = {
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
  clusterRetryStrategy: (times: number) => Math.min(50 * times, 1_000) * (0.5 + Math.random() / 2),
} satisfies ClusterOptions;

function copyOf(client: DuplicableRedisClient, silence: number): unknown {
  const { redisOptions: theirs } = client.options;
  const own = { ...ownOptions(silence), ...keepAlive(theirs), retryStrategy: null };
  // ioredis 5 would forget the user's.
  return duplicated(client, [], { ...OWN, redisOptions: { ...theirs, ...own } });
}

function clusterOf(urls: readonly string[], silence: number): unknown {
  const [first = ''] = urls;
  const { protocol, username, password } = new URL(first);
  const isSecure = protocol === 'rediss:';
  const own = { ...ownOptions(silence), ...keepAlive(), retryStrategy: null };
  return new Cluster([...urls], {
    ...OWN,
    // The certificate is of the name: ioredis would look up the address, and connect to that.
    ...(isSecure && { dnsLookup: (name, found) => found(null, name) }),
    redisOptions: {
      ...own,
      ...(username !== '' && { username: decodeURIComponent(username) }),
      ...(password !== '' && { password: decodeURIComponent(password) }),
      ...(isSecure && { tls: {} }),
    },
  });
}

/** What is to become of each connection to a node: of those in the pool, and of the copies that are made of them. */
function prepareNodes(cluster: ClusterClient, prepare: (connection: OwnNode) => void): void {
  // Before it connects, and before anybody copies it.
  cluster.on('+node', (node: OwnNode) => {
    prepare(node);
    const duplicate = node.duplicate.bind(node);
    node.duplicate = (override) => {
      const copy = duplicate(override);
      prepare(copy);
      return copy;
    };
  });
}

/** ioredis does not say why its connections for the map of the Cluster fail: only that they are closed. */
function nameFailures(cluster: ClusterClient): (connection: OwnNode) => void {
  let reason: Error | undefined;
  cluster.on('refresh', () => {
    reason = undefined;
  });
  cluster.on('error', (error: Error & { lastNodeError?: Error }) => {
    if (reason !== undefined && error.lastNodeError?.message === CLOSED) {
      error.lastNodeError = reason;
    }
  });
  return (connection) => {
    connection.on('error', (error: Error) => {
      reason = error;
    });
  };
}

/** One more connection to a node, for messages. It is not made anew: then the map says where to go. */
export function openSubscriber(node: IoredisNode, silence: number): RedisClient {
  const own = { ...ownOptions(silence), socketTimeout: undefined, retryStrategy: null };
  return node.duplicate(own) as RedisClient;
}

/** What ioredis says of a command when its connection has broken. */
const CLOSED = 'Connection is closed.';
