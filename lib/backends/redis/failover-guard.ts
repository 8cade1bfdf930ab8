import { Deadline, Instant } from '../../time/clock.js';
import type { Keyspace } from '../redis-common/keyspace.js';
import type { RedisClient } from '../redis-common/redis-client.js';
import { runIdOf } from '../redis-common/run-id.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { CommonCalls } from '../redis-common/scripts/calls.js';

/**
 * `on`: a server that another process knew differently is not trusted. `strict`: neither is one of
 * which nobody knows anything.
 */
export type FailoverGrace = 'on' | 'strict';

export interface FailoverGuardContext {
  readonly mode: FailoverGrace;
  /** The longest ttl that anybody uses, as far as the server cannot tell it, in milliseconds. */
  readonly longestTtl: number;
  readonly client: RedisClient;
  readonly runner: ScriptRunner<CommonCalls>;
  readonly keyspace: Keyspace;
  readonly warn: (message: string) => void;
  /** Called when nothing new is granted for so many milliseconds. */
  readonly paused: (ms: number, why: string) => void;
}

/**
 * What this process knows of the server's memory, so that one that forgot what it granted is found
 * out: after a restart, or when another node took over. Then nothing new is granted until every
 * lease of before has expired, while holders assert theirs anew by their renewals: the grace period
 * that Chubby gives after a master's failure (Burrows, OSDI 2006, section 2.9). The rules are in
 * scripts/_guard.lua and scripts/enter.lua.
 */
export class FailoverGuard {
  #run: string | undefined;
  #known = '';
  #longest = 0;
  #token = 0;
  #grace = Deadline.in(0);

  constructor(private readonly context: FailoverGuardContext) {}

  /** The run id of the server that this connection has entered; undefined before. */
  get run(): string | undefined {
    return this.#run;
  }

  /** Why nothing new is granted now; undefined when that is not so. */
  get trouble(): Error | undefined {
    const { remaining } = this.#grace;
    return remaining > 0 ? graceError(remaining) : undefined;
  }

  /** The next connection may be one to another server. */
  forget(): void {
    this.#run = undefined;
  }

  /** Remembers a grant, or a ttl that was asked for, for the case that the server does not. */
  learn(ttl: number, token = 0): void {
    this.#longest = Math.max(this.#longest, ttl);
    this.#token = Math.max(this.#token, token);
  }

  /** Enters the server of the connection there is. Returns a moment before, and the server's time after it. */
  async enter(): Promise<[before: Instant, now: number]> {
    const { client, keyspace, longestTtl, mode, paused, runner, warn } = this.context;
    const run = await runIdOf(client, runner);

    const strict = mode === 'strict';
    const longest = Math.max(this.#longest, strict && this.#known === '' ? longestTtl : 0);
    const before = Instant.now();
    const [now, grace, known, begun] = await runner.run(
      'enter',
      [keyspace.sequence, keyspace.guard],
      [run, this.#known, strict ? 1 : 0, longest, this.#token],
    );
    this.#run = this.#known = run;
    this.learn(known);
    this.#grace = Deadline.in(grace);
    if (grace > 0) paused(grace, graceError(grace).message);
    if (begun === 1 && grace > 0) warn(graceError(grace).message);
    return [before, now];
  }
}

export function graceError(ms: number): Error {
  return new Error(
    'Redis lost its memory, or another node took over: it grants nothing new for ' +
      `${Math.ceil(ms)} ms, until all leases of before are over`,
  );
}
