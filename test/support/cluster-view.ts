import { slotOf } from '../../lib/backends/redis-common/cluster-slot.js';
import { bucketOf, Keyspace } from '../../lib/backends/redis-common/keyspace.js';
import { eventually } from './eventually.js';
import type { ClusterNode, RedisCluster } from './redis-cluster.js';

/** What stands on a Cluster for keys of the default namespace, read past the library. */
export class ClusterView {
  constructor(private readonly cluster: RedisCluster) {}

  keyspaceOf(key: string): Keyspace {
    return new Keyspace('', 'nestjs-lock', bucketOf(key));
  }

  slotOf(key: string): number {
    return slotOf(this.keyspaceOf(key).sequence);
  }

  masterOf(key: string): Promise<ClusterNode> {
    return this.cluster.masterOf(this.slotOf(key));
  }

  /** So many keys that a master has, each in a bucket of its own. */
  async keysOf(master: ClusterNode, count: number, name = 'key'): Promise<string[]> {
    const found = new Map<number, string>();
    for (let n = 0; found.size < count; n++) {
      const key = `${name}:${n}`;
      if (found.has(bucketOf(key)) || (await this.masterOf(key)) !== master) continue;
      found.set(bucketOf(key), key);
    }
    return [...found.values()];
  }

  /** Waits until so many stand in the queue. */
  async queued(key: string, count: number): Promise<void> {
    const [, queue] = this.keyspaceOf(key).of(key);
    await eventually(
      `${count} waiting for ${key}`,
      async () => (await (await this.masterOf(key)).admin.zcard(queue)) === count,
    );
  }

  /** Every key that stands at a master, of whatever kind. */
  async names(): Promise<string[]> {
    const masters = await this.cluster.masters();
    return (await Promise.all(masters.map(({ admin }) => admin.keys('*')))).flat();
  }
}
