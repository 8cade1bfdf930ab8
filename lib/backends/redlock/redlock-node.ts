import { Deadline, Instant, pause, within } from '../../clock.js';
import type { LeaseIdentity, LeaseRenewal, LockRequest } from '../lock-backend.js';
import type { Keyspace, LockNames } from '../redis/keyspace.js';
import { SubscriberMailbox } from '../redis/mailbox.js';
import type { RedisClient } from '../redis/redis-client.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { scripts } from '../redis/scripts.js';
import { checkServer } from '../redis/server-check.js';
import { ServerClock } from '../redis/server-clock.js';
import { endedBy, NodeOperators } from './node-operators.js';
import { redlockScripts, type RedlockScript } from './redlock-scripts.js';
import { RedlockWithdrawals, type Departure } from './redlock-withdrawals.js';

/** How long a waiter lives at a node without a sign of life, in milliseconds. */
export const LIVENESS = 3_500;

/** What a node answers to who asks for a lock. `holder` has it there, or is the first to get it. */
export type Vote =
  | { readonly state: 'granted'; readonly token: number }
  | {
      readonly state: 'waiting';
      readonly remaining: number | undefined;
      readonly holder: string;
      readonly ticket: number;
    }
  | { readonly state: 'busy'; readonly remaining: number | undefined; readonly holder: string };

type VoteReply =
  | readonly [state: 'granted', now: number, token: number]
  | readonly [
      state: 'waiting' | 'busy',
      now: number,
      remaining: number,
      holder: string,
      ticket?: number,
    ]
  | readonly [state: 'late' | 'stranger', now: number];

/** Between two looks whether another process has entered a node that forgot, in milliseconds. */
const LOOK_AGAIN = 20;

/** How a waiter stands at one node. */
export type Standing =
  | readonly [state: 'free' | 'dropped', none?: undefined]
  | readonly [state: 'waiting', remaining: number]
  | readonly [state: 'failed', error: string];

/** What a node has of a lease that is renewed. */
export type Renewed = 'renewed' | 'taken' | 'missing' | Error;

/** What all nodes share. */
export interface NodeContext {
  readonly processId: string;
  readonly keyspace: Keyspace;
  /** How its locks are found among all that the node has. */
  readonly names: LockNames;
  /** How long a node may take for an answer, in milliseconds. */
  readonly patience: number;
  /** What the other nodes remember of this namespace. */
  readonly memoryOfOthers: (node: RedlockNode) => Promise<Memory>;
  readonly hear: (message: string, node: RedlockNode) => void;
  readonly listening: () => void;
  readonly warn: (message: string) => void;
}

export interface Memory {
  readonly exists: boolean;
  /** The longest ttl that a live lease may have, in milliseconds. */
  readonly longest: number;
  /** The last fencing token. */
  readonly token: number;
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
 * One of the nodes of a quorum: each call is tried once, and fails at once while the node is not
 * connected. Its memory is guarded as that of a Redis that fails over (see redis/scripts/_guard.lua):
 * after it forgot what it granted it has no vote until all of that must have ended.
 */
export class RedlockNode {
  readonly #runner: ScriptRunner<RedlockScript>;
  readonly #mailbox: SubscriberMailbox;
  readonly #clock = new ServerClock();
  readonly #withdrawals = new RedlockWithdrawals((lease) => this.leave(lease));
  /** What operators see and do here. */
  readonly operators: NodeOperators;
  /** The run id of the server that was entered on this connection. */
  #run: string | undefined;
  #known = '';
  #longest = 0;
  #token = 0;
  /** It has no vote before. */
  #grace = Deadline.in(0);
  #closed = false;
  #entering: Entering | undefined;
  /** Whether the first connection came about, or was refused. */
  readonly #reached: Promise<unknown>;

  constructor(
    private readonly client: RedisClient,
    subscriber: RedisClient,
    private readonly context: NodeContext,
  ) {
    const { hear, keyspace, listening, patience, processId } = context;
    this.#runner = new ScriptRunner(client, redlockScripts, patience);
    this.#mailbox = new SubscriberMailbox(subscriber, patience, (message) => {
      this.#warn(message);
    });
    this.operators = new NodeOperators({
      ...context,
      client,
      runner: this.#runner,
      entered: async () => {
        await this.#entered('soon');
        return this.#run ?? '';
      },
      trouble: () => this.trouble,
      isStranger: () => this.#isStranger(),
    });
    const checking = new ScriptRunner(client, scripts, patience);
    client.once('ready', () => {
      void checkServer(client, checking, keyspace, this.#mailbox.delivery).then((warnings) => {
        for (const warning of warnings) this.#warn(warning);
      });
    });
    this.#mailbox.listen(keyspace.channel + processId, {
      hear: (message) => {
        hear(message, this);
      },
      listening,
    });
    client.on('ready', () => {
      this.#run = undefined;
      this.#clock.forget();
      // Early, so that the next request need not wait for it.
      this.#entered().catch(() => undefined);
    });
    this.#reached = new Promise<void>((resolve) => {
      client.once('ready', resolve);
      client.once('close', resolve);
    });
    // What goes wrong shows in the client's events, and it tries again by itself.
    client.connect().catch(() => undefined);
  }

  /** Why it has no vote now, as far as this process knows. */
  get trouble(): Error | undefined {
    const { remaining } = this.#grace;
    if (remaining > 0) return new Error(noVote(remaining));
    return this.#entering?.trouble ?? this.#unreached;
  }

  /** Waits until it is known whether the node can be reached, but not for long. */
  async reached(): Promise<void> {
    await within(this.context.patience, this.#reached);
  }

  /** The same, and until it is entered if it can be. Never rejects. */
  async opened(): Promise<void> {
    await this.reached();
    await this.#entered().catch(() => undefined);
  }

  async vote(
    { id, key, ttl, queue }: LockRequest,
    proposal: number,
    ticket: number,
  ): Promise<Vote> {
    const { keyspace, patience } = this.context;
    await this.#entered('soon');
    this.#longest = Math.max(this.#longest, ttl);
    const voidAfter = this.#clock.timeIn(patience) ?? 0;
    const before = Instant.now();
    const keys = [...keyspace.of(key), keyspace.sequence, keyspace.guard];
    const reply = (await this.#withdrawals.observe(id, patience, () =>
      this.#runner.run('vote', keys, [
        ...[id, ttl, voidAfter, proposal, ticket, queue ? 1 : 0],
        ...[keyspace.channel, LIVENESS, this.#run ?? ''],
      ]),
    )) as VoteReply;
    this.#clock.learn(before, reply[1]);
    switch (reply[0]) {
      case 'granted':
        return { state: 'granted', token: reply[2] };
      case 'waiting':
      case 'busy': {
        const [state, , left, holder, place] = reply;
        const remaining = left < 0 ? undefined : left;
        if (state === 'busy') return { state, remaining, holder };
        return { state, remaining, holder, ticket: place ?? 0 };
      }
      case 'stranger':
        return this.#isStranger();
      case 'late':
        throw new Error('the request reached the node too late');
    }
  }

  /** Writes back the token that was agreed on. False when the vote for it is gone. */
  async confirm({ id, key }: LeaseIdentity, token: number): Promise<boolean> {
    const { keyspace } = this.context;
    await this.#entered();
    const [lock] = keyspace.of(key);
    return (await this.#runner.run('confirm', [lock, keyspace.sequence], [id, token])) === 1;
  }

  /** Takes back the vote or the lease, and the place in the queue. */
  leave(lease: Departure): Promise<boolean> {
    return this.#leave(lease, 0, 0);
  }

  /** Takes back one vote, unless it was confirmed since; the ticket, if there is one, is its place again. */
  async giveUp(lease: LeaseIdentity, vote: number, ticket: number): Promise<void> {
    await this.#leave(lease, vote, ticket);
  }

  /** Takes back all there is of a request or a lease; what cannot be done now is done when the node is back. */
  withdraw(lease: Departure, ttl: number): Promise<boolean> {
    return this.#withdrawals.withdraw(lease, ttl + LIVENESS);
  }

  async renew(leases: readonly LeaseRenewal[], repair = false): Promise<Renewed[]> {
    const { keyspace } = this.context;
    await this.#entered();
    for (const { ttl, token } of leases) {
      this.#longest = Math.max(this.#longest, ttl);
      this.#token = Math.max(this.#token, token);
    }
    const answers = (await this.#runner.run(
      'renew',
      [keyspace.sequence, keyspace.guard, ...leases.map(({ key }) => keyspace.of(key)[0])],
      [
        ...[this.#run ?? '', repair ? 1 : 0, endedBy(keyspace)],
        ...leases.flatMap(({ id, token, ttl }) => [id, token, ttl]),
      ],
    )) as (number | string)[] | 'stranger';
    if (answers === 'stranger') return this.#isStranger();
    return answers.map((answer) => {
      if (typeof answer === 'string') return new Error(answer);
      return (['taken', 'renewed', 'missing'] as const)[answer] ?? 'taken';
    });
  }

  async beat(requests: readonly LockRequest[]): Promise<Standing[]> {
    const { keyspace } = this.context;
    await this.#entered('soon');
    const seen = (await this.#runner.run(
      'beat',
      [keyspace.guard, ...requests.flatMap(({ key }) => keyspace.of(key))],
      [keyspace.channel, LIVENESS, this.#run ?? '', ...requests.map(({ id }) => id)],
    )) as Standing[] | [['stranger']] | ['stranger'];
    if (seen[0] === 'stranger') return this.#isStranger();
    return seen as Standing[];
  }

  async memory(): Promise<Memory & { readonly run: string }> {
    if (this.client.status !== 'ready') throw new Error('not connected');
    const { guard, sequence } = this.context.keyspace;
    const [run, longest, token] = (await this.#runner.run('memory', [guard, sequence], [])) as [
      string,
      number,
      number,
    ];
    return { exists: run !== '', run, longest, token };
  }

  /** Makes sure that it still hears. */
  probe(): void {
    this.#mailbox.probe(this.context.keyspace.channel + this.context.processId);
  }

  /** Ends the connections after what is under way, but not long after. */
  async close(): Promise<void> {
    this.#closed = true;
    await within(this.context.patience, this.#withdrawals.close());
    this.#runner.close();
    this.client.disconnect();
    this.#mailbox.close();
  }

  get #unreached(): Error | undefined {
    const { trouble } = this.#runner;
    return this.client.status === 'ready' ? trouble : (trouble ?? new Error('not connected'));
  }

  async #leave({ id, key, kept }: Departure, vote: number, ticket: number): Promise<boolean> {
    const { keyspace } = this.context;
    await this.#entered();
    const keepFor = Math.ceil(kept?.until.remaining ?? 0);
    return (
      (await this.#runner.run(
        'leave',
        [...keyspace.of(key), keyspace.guard],
        [
          ...[id, vote, ticket, keepFor, kept?.token ?? 0],
          ...[keyspace.channel, LIVENESS, this.#run ?? ''],
        ],
      )) === 1
    );
  }

  /**
   * Rejects at once while there is no connection: the other nodes are not to wait for this one.
   *
   * @param when `soon` rejects as well when it takes long to enter it: a round that waited for that
   *   would keep the votes it has, and be deaf for what the other nodes tell
   */
  async #entered(when: 'soon' | 'done' = 'done'): Promise<void> {
    if (this.client.status !== 'ready') throw this.#unreached ?? new Error('not connected');
    if (this.#run !== undefined) return;
    this.#entering ??= this.#startToEnter();
    await this.#entering[when];
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
    const { keyspace } = this.context;
    const info = await this.#runner.answered(this.client.info('server'));
    const run = /^run_id:(\w+)/m.exec(info)?.[1];
    if (run === undefined) throw new Error('Redis does not tell its run_id, see INFO');
    const others = await this.#forgotten(run, tell);
    const before = Instant.now();
    const [now, grace, longest, begun] = (await this.#runner.run(
      'enter',
      [keyspace.guard, keyspace.sequence],
      [
        ...[run, this.#known, others?.exists ? 1 : 0],
        ...[
          Math.max(this.#longest, others?.longest ?? 0),
          Math.max(this.#token, others?.token ?? 0),
        ],
      ],
    )) as [number, number, number, number];
    this.#clock.learn(before, now);
    this.#run = this.#known = run;
    this.#withdrawals.pay();
    this.#longest = Math.max(this.#longest, longest);
    this.#grace = Deadline.in(grace);
    if (begun === 1 && grace > 0) this.#warn(noVote(grace));
  }

  #warn(message: string): void {
    if (!this.#closed) this.context.warn(message);
  }

  /** What the other nodes remember, when this one does not (any more); undefined when it does. */
  async #forgotten(run: string, tell: (trouble: Error) => void): Promise<Memory | undefined> {
    const { memoryOfOthers, patience } = this.context;
    if ((await this.memory()).run === run) return undefined;
    const others = await memoryOfOthers(this);
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
    return await memoryOfOthers(this);
  }

  #isStranger(): never {
    this.#run = undefined;
    throw new Error('the node has lost its memory');
  }
}

function noVote(ms: number): string {
  return `it lost its memory, and has no vote for ${Math.ceil(ms)} ms, until all leases of before are over`;
}
