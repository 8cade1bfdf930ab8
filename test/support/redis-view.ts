import type { Redis } from 'ioredis';
import { Keyspace } from '../../lib/backends/redis-common/keyspace.js';
import { eventually } from './eventually.js';
import { machineTime } from './history.js';

/** What stands at the server for a key, read past the library. */
export class RedisView {
  readonly keyspace = new Keyspace('', 'nestjs-lock');

  constructor(private readonly redis: Redis) {}

  /** The fencing token of the lease there is; undefined when there is none. */
  async token(key: string): Promise<number | undefined> {
    const held = await this.redis.get(this.keyspace.of(key)[0]);
    return held === null ? undefined : Number(held.split(' ')[1]);
  }

  /** A moment before which the lease that there is cannot end, by the machine's clock. */
  async expiry(key: string): Promise<number> {
    const now = machineTime();
    const left = await this.redis.pttl(this.keyspace.of(key)[0]);
    if (left < 0) throw new Error(`nobody holds ${key}`);
    return now + left;
  }

  waiters(key: string): Promise<number> {
    return this.redis.zcard(this.keyspace.of(key)[1]);
  }

  /** Waits until so many stand in the queue. */
  async queued(key: string, count: number): Promise<void> {
    await eventually(`${count} waiting for ${key}`, async () => {
      return (await this.waiters(key)) === count;
    });
  }

  /** Waits until the process of each waiter can be told of a grant. */
  async heard(key: string): Promise<void> {
    await eventually(`the waiters for ${key} listen`, async () => {
      const waiters = await this.redis.zrange(this.keyspace.of(key)[1], 0, '-1');
      const channels = waiters.map((waiter) => this.keyspace.channel + waiter.split(':', 1).join());
      const counts = await this.redis.pubsub('NUMSUB', ...channels);
      return counts.every((count) => count !== 0);
    });
  }

  /** Waits until no key stands there but the one that stays. */
  async idle(): Promise<void> {
    await eventually('an idle server', async () => {
      return (await this.redis.keys('*')).every((name) => name === this.keyspace.sequence);
    });
  }

  /** Waits until nothing stands there for the key. */
  async untouched(key: string): Promise<void> {
    const [lock, queue, deadlines] = this.keyspace.of(key);
    await eventually(
      `nothing left of ${key}`,
      async () => (await this.redis.exists(lock, queue, deadlines)) === 0,
    );
  }
}
