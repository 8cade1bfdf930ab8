import type { LockBackend } from '../../lib/index.js';
import type { Timeline } from './clock/timeline.js';
import { EtcdCluster } from './etcd/etcd-cluster.js';
import { SimEtcdClient } from './etcd/sim-etcd-client.js';
import type { Network } from './network.js';
import type { RealRedis } from './redis/real-redis.js';
import { RealShard } from './redis/real-shard.js';
import { RedisNode } from './redis/redis-node.js';
import { Sentinels } from './redis/sentinels.js';
import { Shards } from './redis/shards.js';
import { SimClusterClient } from './redis/sim-cluster-client.js';
import { type Address, SimRedisClient } from './redis/sim-redis-client.js';
import type { SimProcess } from './sim-process.js';
import type { SimServer } from './sim-server.js';

/** What a topology is made of. */
export interface Ground {
  readonly timeline: Timeline;
  readonly network: Network;
  /** Real servers, empty. */
  readonly servers: readonly RealRedis[];
}

/** The servers of a simulation, and how a process reaches them. */
export interface Store {
  readonly nodes: readonly SimServer[];
  /** The keys that are there, but for those that always stay. */
  left(): Promise<string[]>;
  readonly supports: { readonly limit: boolean; readonly minTtl: number };
  connect(process: SimProcess): LockBackend;
  /** Faults that only this one has, each done at once, by name. */
  readonly mishaps: Readonly<Record<string, () => Promise<void> | void>>;
  /** How seldom one of them is to happen. @default 1 */
  readonly rarity?: number;
}

export interface Topology {
  readonly servers: number;
  /** Whether they are servers of a Redis Cluster. @default false */
  readonly ofCluster?: boolean;
  /** Whether never two hold at once here, whatever happens. */
  readonly excludes: boolean;
  readonly build: (ground: Ground) => Store;
}

/** How far a replica lags behind its master at most, in milliseconds. */
const LAG = 500;

/** Longer than anything is granted for here, in milliseconds. */
const LONGEST_GRACE = 40_000;

/** What stays at a Redis: see Keyspace. */
const STAYS = /:(sequence|guard)$/;

async function keysOf(nodes: readonly RedisNode[]): Promise<string[]> {
  const left: string[] = [];
  for (const node of nodes) {
    const keys = (await node.run(['KEYS', '*'])) as string[];
    left.push(...keys.filter((key) => !STAYS.test(key)));
  }
  return left;
}

type Grace = 'off' | 'on' | 'strict';

/** What is true of one Redis at a time, wherever its address leads. */
function onRedis(address: Address, failoverGrace: Grace, { timeline, network }: Ground) {
  return {
    // A guarded one grants nothing new for a while after each.
    rarity: failoverGrace === 'off' ? 1 : 4,
    supports: { limit: true, minTtl: 10 },
    left: () => keysOf([address.node]),
    connect: (process: SimProcess): LockBackend => {
      const client = new SimRedisClient(process, address, network, timeline);
      return new process.package.RedisBackend({ client, failoverGrace, longestTtl: '6s' });
    },
  };
}

/** An address which leads to another server after a failover. */
class Leading implements Address {
  constructor(
    readonly name: string,
    public node: RedisNode,
  ) {}
}

function oneNode(failoverGrace: Grace, forgets: boolean) {
  return (ground: Ground): Store => {
    const { timeline, servers } = ground;
    const node = new RedisNode('redis', timeline, servers[0]!);
    const address = new Leading('redis', node);
    return {
      nodes: [node],
      ...onRedis(address, failoverGrace, ground),
      mishaps: {
        'forgets its scripts': async () => {
          await node.run(['SCRIPT', 'FLUSH']);
        },
        ...(forgets && {
          'restarts without its memory': () => node.restart(),
        }),
      },
    };
  };
}

/** A master, and a replica that lags behind it and takes its place, behind one address. */
function failover(failoverGrace: Grace) {
  return (ground: Ground): Store => {
    const { timeline, servers } = ground;
    const nodes = servers.map((real, index) => new RedisNode(`redis${index + 1}`, timeline, real));
    const address = new Leading('redis', nodes[0]!);
    return {
      nodes,
      ...onRedis(address, failoverGrace, ground),
      mishaps: {
        'fails over': async () => {
          const old = address.node;
          const next = nodes.find((node) => node !== old)!;
          const memory = await old.memory();
          timeline.in(timeline.random.between(0, LAG), async () => {
            // Another failover was quicker.
            if (address.node !== old) return;
            await next.order('REPLICAOF NO ONE');
            await next.restart(memory);
            next.follow(undefined);
            // Its clients stay, and it refuses what they write.
            await old.order('REPLICAOF 127.0.0.1 1');
            old.follow(next);
            address.node = next;
            timeline.note(`${next.name} is the master`);
          });
        },
      },
    };
  };
}

/** The same, where clients ask sentinels for the master. */
function sentinel(failoverGrace: Grace) {
  return (ground: Ground): Store => {
    const { timeline, network, servers } = ground;
    const sentinels = new Sentinels(timeline, network, servers, failoverGrace !== 'off');
    return {
      nodes: sentinels.nodes,
      ...onRedis(sentinels, failoverGrace, ground),
      mishaps: { 'fails over': () => sentinels.failOver() },
    };
  };
}

function quorum({ timeline, network, servers }: Ground): Store {
  const nodes = servers.map((real, index) => new RedisNode(`redis${index + 1}`, timeline, real));
  const addresses = nodes.map((node) => new Leading(node.name, node));
  let calm = 0;
  return {
    nodes,
    left: () => keysOf(nodes),
    supports: { limit: false, minTtl: 10 },
    connect: (process) => {
      const clients = addresses.map((at) => new SimRedisClient(process, at, network, timeline));
      return new process.package.RedlockBackend({ nodes: clients });
    },
    rarity: 3,
    mishaps: {
      // One at a time: what a majority forgets is forgotten.
      'restarts without its memory': async () => {
        if (timeline.now < calm) return;
        calm = timeline.now + LONGEST_GRACE;
        await timeline.random.pick(nodes).restart();
      },
    },
  };
}

/** Three masters, between which slots move now and then. */
function cluster(failsOver: boolean) {
  return ({ timeline, network, servers }: Ground): Store => {
    const { random } = timeline;
    const real = servers.filter((server) => server instanceof RealShard);
    const shards = new Shards(timeline, real);
    return {
      nodes: shards.nodes,
      left: () => keysOf(shards.masters),
      supports: { limit: true, minTtl: 10 },
      connect: (process) => {
        const client = new SimClusterClient(process, shards, network, timeline);
        return new process.package.RedisBackend({ client });
      },
      mishaps: {
        'loses slots to another': async () => {
          const keys = (await random.pick(shards.masters).run(['KEYS', '*'])) as string[];
          const queues = keys.filter((key) => key.includes(':queue:'));
          const inUse = (queues.length > 0 ? queues : keys).toSorted();
          const to = random.pick(shards.masters);
          for (let most = inUse.length && 3; most > 0; most--) {
            await shards.move(random.pick(inUse), to);
          }
        },
        ...(failsOver && {
          'fails over': () => shards.failOver(random.pick(shards.masters)),
        }),
      },
    };
  };
}

function etcd(size: number) {
  return ({ timeline, network }: Ground): Store => {
    const cluster = new EtcdCluster(timeline, size);
    return {
      nodes: cluster.members,
      left: () => Promise.resolve(cluster.store.keys()),
      supports: { limit: true, minTtl: 1_000 },
      connect: (process) => {
        const client = new SimEtcdClient(process, cluster, network, timeline).etcd;
        return new process.package.EtcdBackend({ client });
      },
      mishaps: {
        'loses its leader': () => {
          cluster.loseLeader(timeline.random.between(100, 3_000));
        },
        'has a member that is behind': () => {
          timeline.random.pick(cluster.members).lag(timeline.random.between(10, 4_000));
        },
      },
    };
  };
}

export const TOPOLOGIES = {
  redis: { servers: 1, excludes: true, build: oneNode('off', false) },
  'redis that forgets': { servers: 1, excludes: false, build: oneNode('off', true) },
  'redis that forgets, guarded': { servers: 1, excludes: true, build: oneNode('strict', true) },
  failover: { servers: 2, excludes: false, build: failover('off') },
  'failover, guarded': { servers: 2, excludes: true, build: failover('strict') },
  sentinel: { servers: 2, excludes: false, build: sentinel('off') },
  'sentinel, guarded': { servers: 2, excludes: true, build: sentinel('strict') },
  'redlock of 3': { servers: 3, excludes: true, build: quorum },
  'redlock of 5': { servers: 5, excludes: true, build: quorum },
  'cluster of 3': { servers: 3, ofCluster: true, excludes: true, build: cluster(false) },
  'cluster of 3, failover': { servers: 6, ofCluster: true, excludes: false, build: cluster(true) },
  etcd: { servers: 0, excludes: true, build: etcd(1) },
  'etcd of 3': { servers: 0, excludes: true, build: etcd(3) },
} satisfies Record<string, Topology>;

export type TopologyName = keyof typeof TOPOLOGIES;
