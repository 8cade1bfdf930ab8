import { Deadline, Instant } from '../../clock.js';
import {
  isAlone,
  type HeldLease,
  type LeaseIdentity,
  type LeaseRenewal,
  type LockRequest,
} from '../lock-backend.js';
import { acquireAll, type AcquireAllReply } from './acquire-all.js';
import { BROKEN, readAcquire, STRANGER, type AcquireReply } from './acquire-reply.js';
import { Batch } from './batch.js';
import type { ClusterHeartbeats } from './cluster-heartbeats.js';
import type { FailoverGuard } from './failover-guard.js';
import type { Keyspace } from '../redis-common/keyspace.js';
import { livenessFor } from '../liveness.js';
import type { Mailbox } from '../redis-common/mailbox.js';
import { isPassing, isReply, replyError } from '../redis-common/redis-errors.js';
import type { StoreRequest } from '../store-request.js';
import { ReleaseBatch } from './release-batch.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { AcquireAnswers, RedisCalls, Seen } from './scripts/calls.js';
import { ServerClock } from '../server-clock.js';
import { termsOf } from '../redis-common/terms.js';

/** Is told what became of a request: a function for many, so that asking costs little. */
export type Tell = (request: StoreRequest, reply: AcquireReply) => void;

interface AskedAcquire {
  readonly request: StoreRequest;
  readonly tell: Tell;
}

/** What a heartbeat tells. */
export interface Beat {
  /** A moment before it was sent. */
  readonly before: Instant;
  /** Whether a message to this process was counted at the server. */
  readonly heard: boolean;
  readonly seen: readonly Seen[];
}

export interface RedisStoreContext {
  readonly keyspace: Keyspace;
  readonly runner: ScriptRunner<RedisCalls>;
  readonly mailbox: Mailbox;
  readonly guard: FailoverGuard | undefined;
  /** To be told, where this process has no guard, that others have one. */
  readonly unguarded: () => void;
  /** On a Cluster: sends the heartbeats of all buckets. */
  readonly heartbeats: ClusterHeartbeats | undefined;
}

/**
 * The scripts of one hash tag, as calls: each is one atomic step at the server, tried once. They
 * reject when there is no answer, and then may have run all the same.
 */
export class RedisStore {
  /** What is known of this hash tag's server's clock. */
  readonly clock = new ServerClock();
  readonly #liveness: number;
  #entering: Promise<void> | undefined;
  #trouble: Error | undefined;

  readonly #acquires = new Batch<AskedAcquire>((asked) => {
    this.#sendAcquires(asked);
  });
  readonly #releases: ReleaseBatch;

  constructor(private readonly context: RedisStoreContext) {
    this.#liveness = livenessFor(context.runner.patience);
    this.#releases = new ReleaseBatch(this, context.keyspace);
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

  /** To be called when it {@link isEntered}. */
  acquire(request: StoreRequest, tell: Tell): void {
    this.#acquires.add({ request, tell });
  }

  /** All of them or none, in one step. */
  acquireAll(requests: readonly StoreRequest[]): Promise<AcquireAllReply> {
    return acquireAll(this, this.context, requests);
  }

  /** Gives a sign of life for each request, and looks how they stand. */
  async heartbeat(requests: readonly LockRequest[]): Promise<Beat> {
    const { guard, heartbeats, keyspace, runner } = this.context;
    await this.entered();
    const before = Instant.now();
    const keys = [
      ...[keyspace.sequence, keyspace.guard],
      ...requests.flatMap(({ key }) => keyspace.of(key)),
    ] as const;
    const waiters = requests.map((request) => `${request.id} ${termsOf(request)}`);
    const args = [this.run, this.address, this.#liveness, ...waiters] as const;
    const [now, heard, ...seen] = await this.#watched(
      heartbeats?.send(keys, args) ?? runner.run('heartbeat', keys, args),
    );
    this.clock.learn(before, now);
    if (heard === 'stranger') this.#isStranger();
    for (const one of seen) if (one[0] === 'granted') guard?.learn(0, one[1]);
    return { before, heard: heard === 1, seen };
  }

  /** @param beaten hears whether a message to this process was counted, if one is to be sent as well */
  async renew(
    leases: readonly LeaseRenewal[],
    beaten?: (counted: boolean) => void,
  ): Promise<(boolean | Error)[]> {
    const { guard, keyspace } = this.context;
    await this.entered();
    const keys: [string, string, ...string[]] = [keyspace.sequence, keyspace.guardInPlace];
    let lines = '';
    for (const lease of leases) {
      const { id, key, token, ttl } = lease;
      guard?.learn(ttl, token);
      keys.push(keyspace.lockOf(key));
      lines += `${id} ${token} ${termsOf(lease)}\n`;
    }
    const address = beaten === undefined ? '' : this.address;
    const reply = await this.send('renew', keys, [this.run, address, lines]);
    if (reply === 'stranger') return this.#isStranger();
    const [heard, ...renewed] = reply;
    beaten?.(heard === 1);
    return renewed.map((one) => (typeof one === 'object' ? replyError(one[1]) : one === 1));
  }

  release(lease: HeldLease, keepFor: number): Promise<boolean> {
    if (!this.isEntered()) return this.entered().then(() => this.release(lease, keepFor));
    const { id, key } = lease;
    this.context.guard?.learn(keepFor);
    const plain = isAlone(lease) && keepFor <= 0;
    return this.#releases.add(key, plain ? id : `${id} ${Math.ceil(keepFor)}`);
  }

  async cancel(request: LockRequest): Promise<void> {
    const { id, key } = request;
    await this.entered();
    await this.send('cancel', this.#keysOf(key), [this.run, this.address, id, termsOf(request)]);
  }

  /** What this process was told of its leases lately, whether it heard it or not. */
  async word(process: string): Promise<readonly string[]> {
    await this.entered();
    return this.send('word', [this.context.keyspace.told], [process]);
  }

  async downgrade({ id, key }: LeaseIdentity): Promise<boolean> {
    await this.entered();
    const args = [this.run, this.address, id] as const;
    const downgraded = await this.send('downgrade', this.#keysOf(key), args);
    // Its holder will assert it by its next renewal.
    if (downgraded === 2) throw new Error(STRANGER);
    return downgraded === 1;
  }

  #sendAcquires(gathered: readonly AskedAcquire[]): void {
    const asked = wanted(gathered);
    const fail = (error: unknown) => {
      for (const { request, tell } of asked) tell(request, { state: 'failed', error });
    };
    if (asked.length === 0) return;
    const { guard, keyspace, runner } = this.context;
    const voidAfter = this.clock.timeIn(runner.patience);
    // What was known when it was asked may not be known any more.
    if (voidAfter === undefined || !this.isEntered()) {
      fail(new Error('the connection was lost'));
      return;
    }
    const keys: [string, string, ...string[]] = [keyspace.sequence, keyspace.guard];
    let lines = '';
    const since = Instant.now();
    const mayRunUntil = new Deadline(since, runner.patience);
    for (const { request } of asked) {
      const { id, key, ttl, queue, reserve } = request.asked;
      guard?.learn(ttl);
      request.leave(mayRunUntil);
      keys.push(...keyspace.of(key));
      lines += `${id} ${queue ? 1 : 0} ${reserve} ${termsOf(request.asked)}\n`;
    }
    const hurried = asked.some(({ request }) => !request.asked.queue);
    const args = [this.run, this.address, this.#liveness, voidAfter, lines] as const;
    this.send('acquire', keys, args, hurried).then(
      (reply) => {
        for (const { request } of asked) request.answered(mayRunUntil);
        this.#hearAcquires(asked, reply, since);
      },
      (error: unknown) => {
        // Of many, some may have been granted before the error came.
        if (isReply(error) && asked.length === 1) asked[0]?.request.answered(mayRunUntil);
        fail(error);
      },
    );
  }

  #hearAcquires(asked: readonly AskedAcquire[], answers: AcquireAnswers, since: Instant): void {
    const { guard } = this.context;
    const [now, longest] = answers;
    this.clock.learn(since, now);
    if (longest === 'stranger') this.forget();
    asked.forEach(({ request, tell }, index) => {
      const reply = readAcquire(answers, index, request.asked, since);
      const isGranted = reply.state === 'granted';
      if (isGranted) guard?.learn(longest as number, reply.token + (reply.reserve ?? 0));
      const isBroken = isGranted && request.isBroken(reply.token);
      tell(request, isBroken ? { state: 'failed', error: new Error(BROKEN) } : reply);
    });
  }

  /** Runs a script here, once. See {@link ScriptRunner.run}. */
  send<Name extends keyof RedisCalls>(
    name: Name,
    keys: RedisCalls[Name]['keys'],
    args: RedisCalls[Name]['args'],
    hurried = false,
  ): Promise<RedisCalls[Name]['reply']> {
    return this.#watched(this.context.runner.run(name, keys, args, hurried));
  }

  async #watched<Reply>(reply: Promise<Reply>): Promise<Reply> {
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

  #keysOf(key: string): RedisCalls['cancel']['keys'] {
    const { keyspace } = this.context;
    return [keyspace.sequence, keyspace.guard, ...keyspace.of(key)];
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
  #isStranger(): never {
    this.forget();
    throw new Error(STRANGER);
  }
}

/** Those that nobody has withdrawn meanwhile. */
function wanted(gathered: readonly AskedAcquire[]): readonly AskedAcquire[] {
  return gathered.some(({ request }) => request.isSettled())
    ? gathered.filter(({ request }) => !request.isSettled())
    : gathered;
}
