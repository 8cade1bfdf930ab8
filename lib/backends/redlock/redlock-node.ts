import { Instant, within } from '../../time/clock.js';
import type { LeaseIdentity, LeaseRenewal, LockRequest } from '../lock-backend.js';
import type { Keyspace, LockNames } from '../redis-common/keyspace.js';
import { livenessFor } from '../liveness.js';
import { FIRST_WORD, SubscriberMailbox } from '../redis-common/mailbox.js';
import type { RedisClient } from '../redis-common/redis-client.js';
import type { Presence } from '../redis-common/presence.js';
import { replyError } from '../redis-common/redis-errors.js';
import { ScriptRunner, serverOf } from '../redis-common/script-runner.js';
import { commonScripts } from '../redis-common/scripts.js';
import { checkServer } from '../redis-common/server-check.js';
import { ServerClock } from '../server-clock.js';
import { termsOf } from '../redis-common/terms.js';
import { endedBy, NodeOperators } from './node-operators.js';
import { kindOf, waiterOf } from './kinds.js';
import { FORGOT, RedlockEntry, type Memory } from './redlock-entry.js';
import { redlockScripts } from './redlock-scripts.js';
import { RedlockWithdrawals, type Departure } from './redlock-withdrawals.js';
import type { RedlockCalls, Standing } from './scripts/calls.js';
import { type Vote, voteOf } from './vote.js';

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
  readonly paused: (ms: number, why: string) => void;
}

/**
 * One of the nodes of a quorum: each call is tried once, and fails at once while the node is not
 * connected.
 */
export class RedlockNode {
  readonly #runner: ScriptRunner<RedlockCalls>;
  readonly #mailbox: SubscriberMailbox;
  readonly #clock = new ServerClock();
  readonly #entry: RedlockEntry;
  readonly #liveness: number;
  readonly #withdrawals = new RedlockWithdrawals((lease) => this.leave(lease));
  /** What operators see and do here. */
  readonly operators: NodeOperators;
  #closed = false;
  /** Resolves when its messages arrive. */
  readonly #presence: Presence;
  readonly #hears: Promise<void>;
  /** Whether the first connection came about, or was refused. */
  readonly #reached: Promise<unknown>;

  constructor(
    private readonly client: RedisClient,
    subscriber: RedisClient,
    private readonly context: NodeContext,
  ) {
    const { hear, keyspace, listening, patience, processId } = context;
    this.#runner = new ScriptRunner(client, redlockScripts, patience, serverOf(client));
    this.#mailbox = new SubscriberMailbox(subscriber, patience, (message) => {
      this.#warn(message);
    });
    this.#liveness = livenessFor(patience);
    this.#entry = new RedlockEntry({
      ...context,
      client,
      runner: this.#runner,
      clock: this.#clock,
      memoryOfOthers: () => context.memoryOfOthers(this),
      entered: () => {
        this.#withdrawals.pay();
      },
      warn: (message) => {
        this.#warn(message);
      },
    });
    this.operators = new NodeOperators({
      ...context,
      client,
      runner: this.#runner,
      entered: async () => {
        await this.#entry.entered('soon');
        return this.#entry.run;
      },
      trouble: () => this.trouble,
      isStranger: () => this.#entry.isStranger(),
    });
    const checking = new ScriptRunner(client, commonScripts, patience, serverOf(client));
    client.once('ready', () => {
      void checkServer(client, checking, keyspace, this.#mailbox.delivery).then((warnings) => {
        for (const warning of warnings) this.#warn(warning);
      });
    });
    let hears!: () => void;
    this.#hears = new Promise((resolve) => {
      hears = resolve;
    });
    this.#presence = this.#mailbox.listen(keyspace.channel + processId, {
      hear: (message) => {
        hear(message, this);
      },
      listening: () => {
        hears();
        listening();
      },
    });
    client.on('ready', () => {
      this.#presence.asksElsewhere();
      this.#entry.again();
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
    return this.#entry.trouble;
  }

  /** Waits until it is known whether the node can be reached, but not for long. */
  async reached(): Promise<void> {
    await within(this.context.patience, this.#reached);
  }

  /** The same, and until it is entered and heard if it can be. Never rejects. */
  async opened(): Promise<void> {
    await this.reached();
    const entered = this.#entry.entered().then(() => within(FIRST_WORD, this.#hears));
    await entered.catch(() => undefined);
  }

  async vote(
    { id, key, ttl, mode, queue }: LockRequest,
    proposal: number,
    ticket: number,
  ): Promise<Vote> {
    const { keyspace, patience } = this.context;
    await this.#entry.entered('soon');
    this.#entry.note(ttl);
    const voidAfter = this.#clock.timeIn(patience) ?? 0;
    const before = Instant.now();
    const keys = [keyspace.sequence, keyspace.guard, ...keyspace.of(key)] as const;
    const args = [
      ...this.#asker,
      voidAfter,
      ...([id, kindOf(mode), ttl, queue ? 1 : 0, proposal, ticket] as const),
    ] as const;
    const reply = await this.#withdrawals.observe(id, patience, () =>
      this.#runner.run('vote', keys, args, !queue),
    );
    this.#clock.learn(before, reply[1]);
    return reply[0] === 'stranger' ? this.#entry.isStranger() : voteOf(reply);
  }

  /** Writes back the token that was agreed on. False when that cannot be: see confirm.lua. */
  async confirm({ id, key, mode }: LockRequest, token: number): Promise<boolean> {
    const { keyspace } = this.context;
    await this.#entry.entered();
    const keys = [keyspace.sequence, keyspace.lockOf(key)] as const;
    return (await this.#runner.run('confirm', keys, [id, kindOf(mode), token])) === 1;
  }

  /** Takes back the vote or the lease, and the place in the queue. */
  leave(lease: Departure): Promise<boolean> {
    return this.#leave(lease, 0, 0);
  }

  /** Takes back one vote, unless it was confirmed since; the ticket, if there is one, is its place again. */
  async giveUp(lease: Departure, vote: number, ticket: number): Promise<void> {
    await this.#leave(lease, vote, ticket);
  }

  /** Takes back all there is of a request or a lease; what cannot be done now is done when the node is back. */
  withdraw(lease: Departure, ttl: number): Promise<boolean> {
    return this.#withdrawals.withdraw(lease, ttl + this.#liveness);
  }

  async renew(leases: readonly LeaseRenewal[], repair = false): Promise<Renewed[]> {
    const { keyspace } = this.context;
    await this.#entry.entered();
    for (const { ttl, token } of leases) this.#entry.note(ttl, token);
    // Who only holds finds out by it that it is not heard.
    const beaten = this.#presence.isDue ? this.#presence.beat() : undefined;
    const reply = await this.#runner.run(
      'renew',
      [keyspace.sequence, keyspace.guard, ...leases.map(({ key }) => keyspace.lockOf(key))],
      [
        this.#entry.run,
        beaten === undefined ? '' : keyspace.channel,
        repair ? 1 : 0,
        endedBy(keyspace),
        ...leases.flatMap((lease) => [lease.id, lease.token, termsOf(lease)]),
      ],
    );
    if (reply === 'stranger') return this.#entry.isStranger();
    const [heard, ...answers] = reply;
    beaten?.(heard === 1);
    return answers.map((answer) => {
      if (typeof answer === 'object') return replyError(answer[1]);
      return (['taken', 'renewed', 'missing'] as const)[answer];
    });
  }

  /** Makes a lease a shared one. False when it was not the owner's any more. */
  async downgrade({ id, key }: LeaseIdentity): Promise<boolean> {
    const { keyspace } = this.context;
    await this.#entry.entered();
    const keys = [keyspace.guard, ...keyspace.of(key)] as const;
    const args = [this.#entry.run, keyspace.channel, id] as const;
    const answer = await this.#runner.run('downgrade', keys, args);
    if (answer === 'stranger') return this.#entry.isStranger();
    // Its holder will assert it by its next renewal.
    if (answer === 2) throw new Error(FORGOT);
    return answer === 1;
  }

  async beat(requests: readonly LockRequest[]): Promise<Standing[]> {
    const { keyspace } = this.context;
    await this.#entry.entered('soon');
    const beaten = this.#presence.beat();
    const [heard, ...seen] = await this.#runner.run(
      'beat',
      [keyspace.guard, ...requests.flatMap(({ key }) => keyspace.of(key))],
      [...this.#asker, ...requests.map(waiterOf)],
    );
    if (heard === 'stranger') return this.#entry.isStranger();
    beaten(heard === 1);
    return seen;
  }

  memory(): Promise<Memory> {
    return this.#entry.memory();
  }

  /** Ends the connections after what is under way, but not long after. */
  async close(): Promise<void> {
    this.#closed = true;
    await within(this.context.patience, this.#withdrawals.close());
    this.#runner.close();
    this.client.disconnect();
    this.#mailbox.close();
  }

  /** What most scripts take first. */
  get #asker(): readonly [run: string, channel: string, liveness: number] {
    return [this.#entry.run, this.context.keyspace.channel, this.#liveness];
  }

  async #leave({ id, key, mode, kept }: Departure, vote: number, ticket: number): Promise<boolean> {
    const { keyspace } = this.context;
    await this.#entry.entered();
    const keepFor = Math.ceil(kept?.until.remaining ?? 0);
    const had = await this.#runner.run(
      'leave',
      [keyspace.guard, ...keyspace.of(key)],
      [...this.#asker, ...([id, kindOf(mode), vote, ticket, keepFor, kept?.token ?? 0] as const)],
    );
    return had === 1;
  }

  #warn(message: string): void {
    if (!this.#closed) this.context.warn(message);
  }
}
