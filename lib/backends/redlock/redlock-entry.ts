import { Deadline, Instant, pause } from '../../time/clock.js';
import type { Keyspace } from '../redis-common/keyspace.js';
import type { RedisClient } from '../redis-common/redis-client.js';
import { runIdOf } from '../redis-common/run-id.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { ServerClock } from '../server-clock.js';
import type { RedlockCalls } from './scripts/calls.js';

export const FORGOT = 'the node has lost its memory';

/** Between two looks whether another process has entered a node that forgot, in milliseconds. */
const LOOK_AGAIN = 20;

/** What a node remembers of a namespace. */
export interface Memory {
  readonly exists: boolean;
  /** The longest ttl that a live lease may have, in milliseconds. */
  readonly longest: number;
  /** The last fencing token. */
  readonly token: number;
}

export interface RedlockEntryContext {
  readonly client: RedisClient;
  readonly runner: ScriptRunner<RedlockCalls>;
  readonly clock: ServerClock;
  readonly keyspace: Keyspace;
  /** How long a node may take for an answer, in milliseconds. */
  readonly patience: number;
  readonly memoryOfOthers: () => Promise<Memory>;
  readonly entered: () => void;
  readonly warn: (message: string) => void;
  /** Called when it has no vote for so many milliseconds. */
  readonly paused: (ms: number, why: string) => void;
}

/** How a node is entered. */
interface Entering {
  readonly done: Promise<void>;
  /** The same, but rejects as soon as it shows that it takes long. */
  readonly soon: Promise<void>;
  /** Why it takes long, if it does. */
  trouble: Error | undefined;
}

/**
 * What comes before a node is asked for anything. Its memory is guarded as that of a Redis that fails
 * over (see redis/scripts/_guard.lua): after it forgot what it granted it has no vote until all of
 * that must have ended.
 */
export class RedlockEntry {
  /** The run id of the server that was entered on this connection. */
  #run: string | undefined;
  #known = '';
  #longest = 0;
  #token = 0;
  /** It has no vote before. */
  #grace = Deadline.in(0);
  #entering: Entering | undefined;

  constructor(private readonly context: RedlockEntryContext) {}

  /** Of the server that was entered, or ''. */
  get run(): string {
    return this.#run ?? '';
  }

  /** Why it has no vote now, as far as this process knows. */
  get trouble(): Error | undefined {
    const { remaining } = this.#grace;
    if (remaining > 0) return new Error(noVote(remaining));
    return this.#entering?.trouble ?? this.#unreached;
  }

  /** What the node is to be told if it forgets. */
  note(ttl: number, token = 0): void {
    this.#longest = Math.max(this.#longest, ttl);
    this.#token = Math.max(this.#token, token);
  }

  /** The connection is a new one, maybe to another server. */
  again(): void {
    this.#run = undefined;
    this.context.clock.forget();
    // Early, so that the next request need not wait for it.
    this.entered().catch(() => undefined);
  }

  /** A script found the node to be another than was entered, or to have forgotten that. */
  isStranger(): never {
    this.#run = undefined;
    throw new Error(FORGOT);
  }

  /**
   * Rejects at once while there is no connection: the other nodes are not to wait for this one.
   *
   * @param when `soon` rejects as well when it takes long to enter it: a round that waited for that
   *   would keep the votes it has, and be deaf for what the other nodes tell
   */
  async entered(when: 'soon' | 'done' = 'done'): Promise<void> {
    if (this.context.client.status !== 'ready') {
      throw this.#unreached ?? new Error('not connected');
    }
    if (this.#run !== undefined) return;
    this.#entering ??= this.#startToEnter();
    await this.#entering[when];
  }

  async memory(): Promise<Memory & { readonly run: string }> {
    const { client, keyspace, runner } = this.context;
    if (client.status !== 'ready') throw new Error('not connected');
    const { guard, sequence } = keyspace;
    const [run, longest, token] = await runner.run('memory', [sequence, guard], []);
    return { exists: run !== '', run, longest, token };
  }

  get #unreached(): Error | undefined {
    const { client, runner } = this.context;
    return client.status === 'ready'
      ? runner.trouble
      : (runner.trouble ?? new Error('not connected'));
  }

  #startToEnter(): Entering {
    let forgot!: (error: Error) => void;
    const early = new Promise<never>((_, reject) => {
      forgot = reject;
    });
    const done = this.#enter((error) => {
      entering.trouble = error;
      forgot(error);
    }).finally(() => {
      this.#entering = undefined;
    });
    const entering: Entering = { done, soon: Promise.race([done, early]), trouble: undefined };
    // Also where nobody waits for it any more.
    done.catch(() => undefined);
    entering.soon.catch(() => undefined);
    return entering;
  }

  /** @param tell is told when it takes as long as a vote for somebody may be under way */
  async #enter(tell: (trouble: Error) => void): Promise<void> {
    const { client, clock, keyspace, paused, runner, warn } = this.context;
    const run = await runIdOf(client, runner);
    const others = await this.#forgotten(run, tell);
    const before = Instant.now();
    const [now, grace, longest, begun] = await runner.run(
      'enter',
      [keyspace.sequence, keyspace.guard],
      [
        run,
        this.#known,
        others?.exists ? 1 : 0,
        Math.max(this.#longest, others?.longest ?? 0),
        Math.max(this.#token, others?.token ?? 0),
      ],
    );
    clock.learn(before, now);
    this.#run = this.#known = run;
    this.context.entered();
    this.#longest = Math.max(this.#longest, longest);
    this.#grace = Deadline.in(grace);
    if (grace > 0) paused(grace, noVote(grace));
    if (begun === 1 && grace > 0) warn(noVote(grace));
  }

  /** What the other nodes remember, when this one does not (any more); undefined when it does. */
  async #forgotten(run: string, tell: (trouble: Error) => void): Promise<Memory | undefined> {
    const { memoryOfOthers, patience } = this.context;
    if ((await this.memory()).run === run) return undefined;
    const others = await memoryOfOthers();
    // Where nothing was ever asked for, nothing is forgotten.
    if (others.longest === 0 && this.#known === '') return others;
    // It may have voted just before. When the patience is over, the others have counted in that lease
    // as well, or their votes for it come too late.
    tell(new Error('it lost its memory, and is still to be entered'));
    const late = Deadline.in(patience);
    while (!late.passed) {
      await pause(Math.min(LOOK_AGAIN, late.remaining));
      if ((await this.memory()).run === run) return undefined;
    }
    return await memoryOfOthers();
  }
}

function noVote(ms: number): string {
  return `it lost its memory, and has no vote for ${Math.ceil(ms)} ms, until all leases of before are over`;
}
