import type { Redis } from 'ioredis';
import type { LockModuleOptions, LockService } from 'nestjs-lock';
import { RedlockBackend, type RedlockBackendOptions } from 'nestjs-lock/redis';
import { Keyspace } from '../../lib/backends/redis-common/keyspace.js';
import { eventually } from './eventually.js';
import type { RedisServer } from './redis-server.js';
import type { Scene } from './scene.js';
import type { TcpProxy } from './tcp-proxy.js';

export const keyspace = new Keyspace('', 'nestjs-lock');

/** A token of then, to the minute: as after a process whose clock was ahead, from where tokens come by counting. */
export function inAnHour(): number {
  return Math.ceil((Date.now() + 3_600_000) / 60_000) * 60_000_000;
}

/** One Redis of a quorum, and the network before it. */
export class QuorumNode {
  private constructor(
    readonly server: RedisServer,
    readonly network: TcpProxy,
    readonly admin: Redis,
  ) {}

  static async start(scene: Scene): Promise<QuorumNode> {
    const server = await scene.redis();
    return new QuorumNode(server, await scene.proxy(server.port), scene.client(server.url));
  }

  /** What stands there for the lock: undefined, or who has it alone. */
  async holder(key: string): Promise<string | undefined> {
    return (await this.admin.get(keyspace.of(key)[0]))?.split(' ', 1)[0];
  }

  /** How many read there; undefined when they do not. */
  async readers(key: string): Promise<number | undefined> {
    const [lock] = keyspace.of(key);
    return (await this.admin.type(lock)) === 'hash' ? (await this.admin.hlen(lock)) - 1 : undefined;
  }

  /** Gives the lock to somebody else, past the library. */
  async give(key: string, id: string, ttl: number): Promise<void> {
    await this.admin.set(keyspace.of(key)[0], `${id} 1`, 'PX', ttl);
  }

  /** Takes the lock from whoever has it, past the library. */
  async take(key: string): Promise<void> {
    await this.admin.del(keyspace.of(key)[0]);
  }

  waiters(key: string): Promise<string[]> {
    return this.admin.zrange(keyspace.of(key)[1], 0, '-1');
  }

  /** Who waits, each followed by its ticket. */
  places(key: string): Promise<string[]> {
    return this.admin.zrange(keyspace.of(key)[1], 0, '-1', 'WITHSCORES');
  }

  /** Milliseconds for which it has no vote; undefined while nobody has entered it. */
  async quarantine(): Promise<number | undefined> {
    const guard = await this.admin.get(keyspace.guard);
    if (guard === null) return undefined;
    const [seconds, micros] = await this.admin.time();
    const now = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    return Math.max(0, Number(guard.split(' ')[2]) - now);
  }

  /** Kills it and starts it with an empty memory. */
  async wipe(): Promise<void> {
    await this.server.kill();
    await this.server.launch();
  }
}

/** Nodes, and services on them. */
export async function startQuorum(
  scene: Scene,
  settings: Partial<RedlockBackendOptions> = {},
  size = 3,
) {
  const started = Array.from({ length: size }, () => QuorumNode.start(scene));
  const nodes = (await Promise.all(started)) as [QuorumNode, QuorumNode, QuorumNode];
  const backend = () =>
    new RedlockBackend({ nodes: nodes.map(({ network }) => network.url), ...settings });
  return {
    nodes,
    backend,
    service: (options: LockModuleOptions = {}): LockService =>
      scene.service(backend(), { wait: 20_000, ...options }),
    /** Waits until no node has anything of the key. */
    untouched: (key: string) =>
      eventually(`nothing left of ${key}`, async () => {
        const names = keyspace.of(key).slice(0, 3);
        const left = await Promise.all(nodes.map(({ admin }) => admin.exists(...names)));
        return left.every((count) => count === 0);
      }),
  };
}
