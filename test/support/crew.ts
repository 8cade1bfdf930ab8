import type { Redis } from 'ioredis';
import type { RedisServer } from './redis-server.js';
import { Scene } from './scene.js';
import type { WorkerProcess } from './worker-process.js';
import type { Locks } from './worker.js';

/** Processes that go from store to store: to start one costs more than all that it does at one. */
export class Crew extends Scene {
  readonly #members: WorkerProcess[] = [];
  #resource: Promise<RedisServer> | undefined;

  /**
   * So many at this store: those who came through what befell them at the one before, and new ones.
   * They leave before the scene of the store ends.
   */
  async at(locks: Locks, count: number, scene: Scene): Promise<WorkerProcess[]> {
    const those = this.#running;
    scene.also(async () => {
      await Promise.all(this.#running.map((worker) => worker.leave()));
    });
    await Promise.all([
      ...those.map((worker) => worker.enter(locks)),
      ...Array.from({ length: count - those.length }, () => this.oneMore(locks)),
    ]);
    return this.#running;
  }

  async oneMore(locks: Locks): Promise<WorkerProcess> {
    const { url } = await this.#server();
    const worker = await this.worker(url, { locks });
    this.#members.push(worker);
    return worker;
  }

  /** What the locks protect, as if nobody had been there yet. */
  async resource(): Promise<Redis> {
    const client = this.client((await this.#server()).url);
    await client.flushall();
    return client;
  }

  get #running(): WorkerProcess[] {
    return this.#members.filter(({ running }) => running);
  }

  #server(): Promise<RedisServer> {
    return (this.#resource ??= this.redis());
  }
}
