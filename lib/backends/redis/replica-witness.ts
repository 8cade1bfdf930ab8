import type { RedisClient } from '../redis-common/redis-client.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { RedisScript } from './redis-scripts.js';

/** How long replicas may take to say that they have a write, in milliseconds. */
const PATIENCE = 500;

/**
 * Asks how many replicas have what this connection wrote last. A help, and no guarantee: a replica
 * that has the grant need not be the one that takes over, and what it has it may not have on disk.
 */
export class ReplicaWitness {
  #connections = 0;
  #trouble: Error | undefined;

  constructor(
    private readonly client: RedisClient,
    private readonly runner: ScriptRunner<RedisScript>,
    private readonly replicas: number,
  ) {
    client.on('ready', () => {
      this.#connections++;
    });
  }

  /** Why the last grant was not believed; undefined when it was. */
  get trouble(): Error | undefined {
    return this.#trouble;
  }

  /** Which connection it is that a write is sent on: WAIT on another says nothing of it. */
  get connection(): number {
    return this.#connections;
  }

  /** Whether enough replicas have all that was written on the given connection up to now. */
  async sees(connection: number | undefined): Promise<boolean> {
    const wait = Math.min(PATIENCE, this.runner.patience / 2);
    const seen = await this.runner.answered(this.client.wait(this.replicas, wait));
    const enough = seen >= this.replicas && connection === this.#connections;
    const shortfall = `too few replicas have the grant: ${seen} of ${this.replicas}`;
    this.#trouble = enough ? undefined : new Error(shortfall);
    return enough;
  }
}
