import { Instant } from '../../clock.js';
import type { KeyState, LeaseIdentity, LeaseRenewal, LockRequest } from '../lock-backend.js';
import type { FailoverGuard } from './failover-guard.js';
import type { Keyspace } from './keyspace.js';
import type { Mailbox } from './mailbox.js';
import { isPassing } from './redis-errors.js';
import type { ScriptRunner } from './script-runner.js';
import type { ScriptName } from './scripts.js';
import { ServerClock } from './server-clock.js';

/** How long a waiter lives at the server without a sign of life, in milliseconds. */
export const LIVENESS = 3_500;

export type AcquireReply =
  | readonly [state: 'granted', now: number, token: number, longest: number]
  | readonly [state: 'waiting', now: number, remaining: number, place: number]
  | readonly [state: 'grace', now: number, left: number]
  | readonly [state: 'busy' | 'late', now: number];

/** What a heartbeat tells of one waiter. */
export type Seen =
  | readonly [state: 'granted', token: number, remaining: number]
  | readonly [state: 'waiting', remaining: number, place: number]
  | readonly [state: 'failed', error: string, none?: undefined]
  | readonly [state: 'dropped', none?: undefined, none?: undefined];

export interface RedisStoreContext {
  readonly keyspace: Keyspace;
  readonly runner: ScriptRunner<ScriptName>;
  readonly mailbox: Mailbox;
  readonly guard: FailoverGuard | undefined;
}

/**
 * The scripts of one hash tag, as calls: each is one atomic step at the server, tried once. They
 * reject when there is no answer, and then may have run all the same.
 */
export class RedisStore {
  readonly #clock = new ServerClock();
  #entering: Promise<void> | undefined;
  #trouble: Error | undefined;

  constructor(private readonly context: RedisStoreContext) {}

  /** The next connection may be one to another server, with another clock and another memory. */
  forget(): void {
    this.#clock.forget();
    this.context.guard?.forget();
  }

  /** Why this hash tag's server did not answer the last request; undefined when it did. */
  get trouble(): Error | undefined {
    return this.#trouble;
  }

  /** Waits for the connection, and until what must be known of its server is known. */
  async entered(): Promise<void> {
    const { guard, mailbox, runner } = this.context;
    await runner.connected();
    if (this.#clock.known && (guard === undefined || guard.run !== undefined)) return;
    await mailbox.opened();
    this.#entering ??= this.#enter().finally(() => {
      this.#entering = undefined;
    });
    await this.#entering;
  }

  /** A local moment that is surely not after this time of the server's; see {@link ServerClock}. */
  momentOf(server: number): Instant | undefined {
    return this.#clock.momentOf(server);
  }

  /** To be called when {@link entered} has just resolved. */
  async acquire({ id, key, ttl, queue }: LockRequest, before: Instant): Promise<AcquireReply> {
    const { guard, keyspace, runner } = this.context;
    guard?.learn(ttl);
    const voidAfter = this.#clock.timeIn(runner.patience) ?? 0;
    const args = [id, ttl, voidAfter, queue ? 1 : 0, this.#address, LIVENESS, this.#run];
    const reply = (await this.#send('acquire', keyspace.of(key), args)) as
      AcquireReply | readonly [state: 'stranger', now: number];
    this.#clock.learn(before, reply[1]);
    if (reply[0] === 'stranger') this.#isStranger();
    if (reply[0] === 'granted') guard?.learn(reply[3], reply[2]);
    return reply;
  }

  /** Gives a sign of life for each request, and looks how they stand. */
  async heartbeat(requests: readonly LockRequest[]): Promise<[before: Instant, seen: Seen[]]> {
    const { guard, keyspace } = this.context;
    await this.entered();
    const before = Instant.now();
    const keys = requests.flatMap(({ key }) => keyspace.of(key).slice(0, 3));
    const waiters = requests.map(({ id, ttl }) => `${id} ${ttl}`);
    const [now, ...seen] = (await this.#send(
      'heartbeat',
      [keyspace.sequence, keyspace.guard, ...keys],
      [this.#address, LIVENESS, this.#run, ...waiters],
    )) as [number, ...(Seen | 'stranger')[]];
    this.#clock.learn(before, now);
    if (seen[0] === 'stranger') this.#isStranger();
    for (const one of seen as Seen[]) if (one[0] === 'granted') guard?.learn(0, one[1]);
    return [before, seen as Seen[]];
  }

  async renew(leases: readonly LeaseRenewal[]): Promise<(boolean | Error)[]> {
    const { guard, keyspace } = this.context;
    await this.entered();
    for (const { ttl, token } of leases) guard?.learn(ttl, token);
    const renewed = (await this.#send(
      'renew',
      [keyspace.sequence, keyspace.guard, ...leases.map(({ key }) => keyspace.of(key)[0])],
      [this.#run, ...leases.flatMap(({ id, token, ttl }) => [id, token, ttl])],
    )) as (number | string)[] | 'stranger';
    if (renewed === 'stranger') return this.#isStranger();
    return renewed.map((one) => (typeof one === 'string' ? new Error(one) : one === 1));
  }

  async release({ id, key }: LeaseIdentity): Promise<boolean> {
    const { keyspace } = this.context;
    await this.entered();
    const args = [id, this.#address, this.#run];
    return (await this.#send('release', keyspace.of(key), args)) !== 0;
  }

  async cancel({ id, key, ttl }: LockRequest): Promise<void> {
    const { keyspace } = this.context;
    await this.entered();
    await this.#send('cancel', keyspace.of(key), [id, ttl, this.#address, this.#run]);
  }

  async inspect(key: string): Promise<KeyState> {
    const { keyspace } = this.context;
    const [lock, , deadlines] = keyspace.of(key);
    const [waiters = 0, token, remaining = 0] = (await this.#send(
      'inspect',
      [lock, deadlines],
      [],
    )) as number[];
    return { waiters, holders: token === undefined ? [] : [{ token, remaining }] };
  }

  async #send(
    name: ScriptName,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    try {
      const reply = await this.context.runner.run(name, keys, args);
      this.#trouble = undefined;
      return reply;
    } catch (error) {
      this.#trouble = isPassing(error) ? (error as Error) : undefined;
      throw error;
    }
  }

  get #address(): string {
    return `${this.context.mailbox.delivery} ${this.context.keyspace.channel}`;
  }

  get #run(): string {
    return this.context.guard?.run ?? '';
  }

  async #enter(): Promise<void> {
    const { guard, keyspace } = this.context;
    if (guard !== undefined) {
      this.#clock.learn(...(await guard.enter()));
    } else {
      const before = Instant.now();
      this.#clock.learn(before, (await this.#send('clock', [keyspace.sequence], [])) as number);
    }
  }

  /** The server was found to be another, or to have forgotten who it is: the next try enters it first. */
  #isStranger(): never {
    this.forget();
    throw new Error('Redis has lost its memory, or another node took over');
  }
}
