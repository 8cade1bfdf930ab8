import { Instant } from '../../time/clock.js';
import { STRANGER } from './acquire-reply.js';
import type { FailoverGuard } from './failover-guard.js';
import type { Keyspace } from '../redis-common/keyspace.js';
import { livenessFor } from '../liveness.js';
import type { Mailbox } from '../redis-common/mailbox.js';
import { isPassing } from '../redis-common/redis-errors.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { RedisCalls } from './scripts/calls.js';
import { ServerClock } from '../server-clock.js';

export interface RedisEntryContext {
  readonly keyspace: Keyspace;
  readonly runner: ScriptRunner<RedisCalls>;
  readonly mailbox: Mailbox;
  readonly guard: FailoverGuard | undefined;
  /** To be told, where this process has no guard, that others have one. */
  readonly unguarded: () => void;
}

/**
 * What a script that is sent must say of its server: of its clock, of who it is. It is asked for that
 * before anything else, and again when the next request may go to another one.
 */
export class RedisEntry {
  /** What is known of this hash tag's server's clock. */
  readonly clock = new ServerClock();
  /** For how long a sign of life of this process is good, in milliseconds. */
  readonly liveness: number;
  #entering: Promise<void> | undefined;
  #trouble: Error | undefined;

  constructor(private readonly context: RedisEntryContext) {
    this.liveness = livenessFor(context.runner.patience);
  }

  /** The next connection may be one to another server, with another clock and another memory. */
  forget(): void {
    this.clock.forget();
    this.context.guard?.forget();
  }

  /** Why this hash tag's server did not answer the last request; undefined when it did. */
  get trouble(): Error | undefined {
    return this.#trouble;
  }

  /** Whether what must be known of the server of the connection is known. */
  isEntered(): boolean {
    const { guard, runner } = this.context;
    return runner.ready && this.clock.known && (guard === undefined || guard.run !== undefined);
  }

  /** Waits for the connection, and until what must be known of its server is known. */
  async entered(): Promise<void> {
    const { mailbox, runner } = this.context;
    await runner.connected();
    if (this.isEntered()) return;
    await mailbox.opened();
    this.#entering ??= this.#enter().finally(() => {
      this.#entering = undefined;
    });
    await this.#entering;
  }

  /** A local moment that is surely not after this time of the server's; see {@link ServerClock}. */
  momentOf(server: number): Instant | undefined {
    return this.clock.momentOf(server);
  }

  /** Runs a script here, once. See {@link ScriptRunner.run}. */
  send<Name extends keyof RedisCalls>(
    name: Name,
    keys: RedisCalls[Name]['keys'],
    args: RedisCalls[Name]['args'],
    hurried = false,
  ): Promise<RedisCalls[Name]['reply']> {
    return this.watched(this.context.runner.run(name, keys, args, hurried));
  }

  /** Remembers whether there was an answer. */
  protected async watched<Reply>(reply: Promise<Reply>): Promise<Reply> {
    try {
      const answer = await reply;
      this.#trouble = undefined;
      return answer;
    } catch (error) {
      this.#trouble = isPassing(error) ? (error as Error) : undefined;
      throw error;
    }
  }

  /** How scripts reach processes: see scripts/_tell.lua. */
  get address(): string {
    return `${this.context.mailbox.delivery} ${this.context.keyspace.channel}`;
  }

  /** The run id that scripts are to find at the server, or '' when the guard is off. */
  get run(): string {
    return this.context.guard?.run ?? '';
  }

  async #enter(): Promise<void> {
    const { guard, keyspace } = this.context;
    if (guard !== undefined) {
      this.clock.learn(...(await guard.enter()));
    } else {
      const before = Instant.now();
      const keys = [keyspace.sequence, keyspace.guardInPlace] as const;
      const [now, guarded] = await this.send('clock', keys, [], true);
      this.clock.learn(before, now);
      if (guarded === 1) this.context.unguarded();
    }
  }

  /** The server was found to be another, or to have forgotten who it is: the next try enters it first. */
  protected isStranger(): never {
    this.forget();
    throw new Error(STRANGER);
  }
}
