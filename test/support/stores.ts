import type { LockBackend, LockService } from 'nestjs-lock';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { PostgresBackend } from 'nestjs-lock/postgres';
import { RedisBackend, RedlockBackend } from 'nestjs-lock/redis';
import { EtcdCluster } from './etcd-cluster.js';
import { eventually } from './eventually.js';
import { machineTime } from './history.js';
import { PostgresServer } from './postgres-server.js';
import { RedisCluster } from './redis-cluster.js';
import { RedisSentinels } from './redis-sentinel.js';
import type { Scene } from './scene.js';
import type { Locks } from './worker.js';

/** A kind of store that processes share. */
export interface StoreKind {
  readonly name: string;
  /** Starts it for a spec; the scene ends it. */
  readonly start: (scene: Scene) => Promise<Locks>;
}

/** Started by the scene, stopped by the scene. */
async function ended<T extends { stop(): Promise<void> }>(scene: Scene, start: Promise<T>) {
  const started = await start;
  scene.also(() => started.stop());
  return started;
}

export const storeKinds: readonly StoreKind[] = [
  {
    name: 'Redis',
    start: async (scene) => ({ redis: { url: (await scene.redis()).url } }),
  },
  {
    name: 'Redis through Sentinel',
    start: async (scene) => {
      const sentinels = await ended(scene, RedisSentinels.start());
      return { redis: { options: sentinels.options(), failoverGrace: 'on' } };
    },
  },
  {
    name: 'Redis Cluster',
    start: async (scene) => {
      const cluster = await ended(scene, RedisCluster.start());
      return { redis: { cluster: cluster.urls } };
    },
  },
  {
    name: 'Redlock',
    start: async (scene) => {
      const nodes = await Promise.all([scene.redis(), scene.redis(), scene.redis()]);
      return { redlock: { nodes: nodes.map(({ url }) => url) } };
    },
  },
  {
    name: 'etcd',
    start: async (scene) => {
      const cluster = await ended(scene, EtcdCluster.start());
      return { etcd: { hosts: cluster.urls } };
    },
  },
  {
    name: 'PostgreSQL',
    start: async (scene) => {
      const server = await ended(scene, PostgresServer.start());
      return { postgres: { connectionString: server.url } };
    },
  },
];

export function backendOf(locks: Locks): LockBackend {
  if ('etcd' in locks) return new EtcdBackend(locks.etcd);
  if ('postgres' in locks) return new PostgresBackend(locks.postgres);
  return 'redis' in locks ? new RedisBackend(locks.redis) : new RedlockBackend(locks.redlock);
}

/** What a store shows of a key to everybody. */
export class StoreView {
  readonly #service: LockService;

  constructor(scene: Scene, locks: Locks) {
    this.#service = scene.service(backendOf(locks));
  }

  async token(key: string): Promise<number | undefined> {
    return (await this.#service.inspect(key)).holders[0]?.fencingToken;
  }

  /** A moment before which the lease that there is cannot end, by the machine's clock. */
  async expiry(key: string): Promise<number> {
    const now = machineTime();
    const [holder] = (await this.#service.inspect(key)).holders;
    if (holder === undefined) throw new Error(`nobody holds ${key}`);
    return now + holder.remaining;
  }

  /** Waits until so many stand in the queue. */
  async queued(key: string, count: number): Promise<void> {
    await eventually(`${count} waiting for ${key}`, async () => {
      return (await this.#service.inspect(key)).waiters === count;
    });
  }
}
