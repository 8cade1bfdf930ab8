import { nextTick } from 'node:process';
import { Deadline, pause } from '../../time/clock.js';
import type { RedisClient } from '../redis-common/redis-client.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { RedisCalls } from './scripts/calls.js';

/** How long replicas may take to say that they have a write, in milliseconds. */
const PATIENCE = 500;

/** How long each WAIT may hold up what is sent behind it on the connection, in milliseconds. */
const HOLD_UP = 100;

/**
 * Asks how many replicas have what this connection wrote last. A help, and no guarantee: a replica
 * that has the grant need not be the one that takes over, and what it has it may not have on disk.
 *
 * WAIT holds up all that is sent behind it, renewals too: so there is one for all grants that are
 * there, it is short, and while replicas are too few one caller tries for all.
 */
export class ReplicaWitness {
  #connections = 0;
  #trouble: Error | undefined;
  /** The question that is under way, and the one for who came since. */
  #asking: Promise<unknown> = Promise.resolve();
  #next: Promise<number | undefined> | undefined;
  /** Resolves when the last of those who try one after the other is done. */
  #turns: Promise<void> = Promise.resolve();
  #nextTurn = Deadline.in(0);

  constructor(
    private readonly client: RedisClient,
    private readonly runner: ScriptRunner<RedisCalls>,
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

  /** Tries for a grant: at once, or while replicas are too few, in turn and now and then. */
  try(attempt: () => Promise<void>): Promise<void> {
    if (this.#trouble === undefined) return attempt();
    const turn = this.#turns.then(async () => {
      if (this.#trouble !== undefined) await pause(this.#nextTurn.remaining);
      // From then on nobody waits for another one's attempt.
      if (this.#trouble === undefined) return { attempted: attempt() };
      await attempt();
      return undefined;
    });
    this.#turns = turn.then(
      () => undefined,
      () => undefined,
    );
    return turn.then((begun) => begun?.attempted);
  }

  /** Whether enough replicas have all that was written on the given connection up to now. */
  async sees(connection: number): Promise<boolean> {
    this.#next ??= this.#ask(this.#asking);
    return (await this.#next) === connection;
  }

  /** Which connection enough replicas have all of, as far as they do. */
  async #ask(before: Promise<unknown>): Promise<number | undefined> {
    await before;
    // For all whose grants are read in this turn of the event loop.
    await new Promise<void>(nextTick);
    const question = this.#count();
    this.#next = undefined;
    this.#asking = question.catch(() => undefined);
    return question;
  }

  async #count(): Promise<number | undefined> {
    const connection = this.#connections;
    const { patience } = this.runner;
    const end = Deadline.in(Math.min(PATIENCE, patience / 2));
    const holdUp = Math.min(HOLD_UP, patience / 4);
    for (;;) {
      const seen = await this.runner.answered(this.client.wait(this.replicas, holdUp));
      if (connection !== this.#connections) return undefined;
      if (seen >= this.replicas) {
        this.#trouble = undefined;
        return connection;
      }
      if (end.remaining <= holdUp) {
        this.#trouble = new Error(`too few replicas have the grant: ${seen} of ${this.replicas}`);
        this.#nextTurn = Deadline.in(PATIENCE);
        return undefined;
      }
      await pause(holdUp);
    }
  }
}
