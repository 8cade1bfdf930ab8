import { Deadline, within } from '../../time/clock.js';
import type {
  Answer,
  BusyKey,
  Grant,
  HeldLease,
  KeyState,
  LeaseIdentity,
  LeaseRenewal,
  LockProcess,
  LockRequest,
  Revocation,
} from '../lock-backend.js';
import type { Tell } from './acquire-batch.js';
import { FIRST_WORD, type Mailbox } from '../redis-common/mailbox.js';
import { isPassing, replyError, toBackendError } from '../redis-common/redis-errors.js';
import type { Pulse } from './pulse.js';
import type { RedisOperators } from './redis-operators.js';
import type { StoreRequest } from '../store-request.js';
import { type StoreReply, StoreRequests } from '../store-requests.js';
import type { Sight, ToldGrant } from '../store-waiters.js';
import type { RedisStore } from './redis-store.js';
import type { Presence } from '../redis-common/presence.js';
import type { ReplicaWitness } from './replica-witness.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { RedisCalls, Seen } from './scripts/calls.js';

export interface RedisBucketContext {
  readonly process: Pick<LockProcess, 'id' | 'lost' | 'revoked'>;
  readonly store: RedisStore;
  readonly operators: RedisOperators;
  readonly runner: ScriptRunner<RedisCalls>;
  readonly mailbox: Mailbox;
  readonly pulse: Pulse;
  /** On which this process is told of its grants, and of what becomes of its leases. */
  readonly channel: string;
  readonly witness: ReplicaWitness | undefined;
}

/**
 * One process's locks under one hash tag: on one node all of them; on a Cluster those of one of many
 * buckets, each as good as a Redis of its own. The protocol itself is in the redisScripts.
 */
export class RedisBucket {
  readonly #requests: StoreRequests;
  readonly #presence: Presence;
  /** Resolves when messages arrive, or seem not to; undefined then. */
  #hears: Promise<void> | undefined;

  constructor(private readonly context: RedisBucketContext) {
    const { channel, mailbox, pulse, runner, store, witness } = context;
    let hear!: () => void;
    const listening = new Promise<void>((resolve) => {
      hear = resolve;
    });
    this.#presence = mailbox.listen(channel, {
      hear: (message) => {
        this.#hearMessage(message);
      },
      listening: (elsewhere) => {
        if (elsewhere) store.forget();
        // What was published while nobody listened is found by looking.
        this.#requests.waiters.lookSoon();
        // Nothing was granted before it first heard, unless that took too long.
        if (this.#hears === undefined) void this.#hearLate();
        hear();
      },
    });
    const presence = this.#presence;
    this.#requests = new StoreRequests({
      patience: runner.patience,
      ask: (request) => {
        this.#ask(request);
      },
      attemptAll: async (requests) => {
        await this.#hears;
        return store.acquireAll(requests);
      },
      cancel: (asked) => store.cancel(asked),
      insist: (attempt, pointless) => runner.insist(attempt, pointless),
      heartbeat: async (asked) => {
        const beaten = presence.beat();
        const { before, heard, seen } = await store.heartbeat(asked);
        beaten(heard);
        return { before, seen: seen.map(sightOf) };
      },
      nextBeat: () => pulse.next(),
      looksAtOnce: () => presence.isUntried,
      looksPerMillisecond: 500,
      toGrant: (_, told) => ({ state: 'granted', ...told }),
      confirm: witness && ((request, grant) => this.#confirm(request, grant)),
      isPassing,
      toBackendError,
    });
    this.#hears = within(FIRST_WORD, listening).then(() => {
      this.#hears = undefined;
    });
  }

  /** The next request may go to another server, with another clock and another memory. */
  asksElsewhere(): void {
    this.context.store.forget();
    this.#presence.asksElsewhere();
    this.#requests.waiters.lookSoon();
  }

  acquire(asked: LockRequest): Promise<Answer> {
    return this.#requests.acquire(asked);
  }

  /** One attempt at all of them, in one step. */
  acquireAll(asked: readonly LockRequest[]): Promise<readonly Grant[] | BusyKey> {
    return this.#requests.acquireAll(asked);
  }

  cancel(asked: LockRequest): Promise<void> {
    return this.#requests.cancel(asked);
  }

  renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]> {
    // Who only holds finds out by it that it is not heard.
    const beaten = this.#presence.isDue ? this.#presence.beat() : undefined;
    return this.context.store.renew(leases, beaten);
  }

  release(lease: HeldLease, keepFor: number): Promise<boolean> {
    return this.#requests.release(lease, () => this.context.store.release(lease, keepFor));
  }

  downgrade(lease: LeaseIdentity): Promise<boolean> {
    return this.#patiently(() => this.context.store.downgrade(lease));
  }

  inspect(key: string): Promise<KeyState> {
    return this.#patiently(() => this.context.operators.inspect(key));
  }

  revoke(key: string, revocation: Revocation): Promise<number> {
    return this.#patiently(() => this.context.operators.revoke(key, revocation));
  }

  forceRelease(key: string): Promise<number> {
    return this.#patiently(() => this.context.operators.forceRelease(key));
  }

  close(): Promise<void> {
    return this.#requests.close();
  }

  /**
   * `granted <id> <token> <server time in ms> <ms of life> <reserved tokens>`, `waiting <id> <ms until the
   * lock may be free>` when that has changed, `lost <id> <token>`, or `revoked <id> <ms of grace> <reason>`.
   */
  #hearMessage(message: string): void {
    const [word, id = '', ...rest] = message.split(' ');
    if (word === 'granted') {
      this.#requests.waiters.hearGrant(id, this.#grantIn(rest));
    } else if (word === 'waiting') {
      this.#requests.waiters.hearRemaining(id, Number(rest[0]));
    } else if (word === 'lost') {
      const token = Number(rest[0]);
      this.#requests.break(id, token);
      this.context.process.lost(id, token);
    } else if (word === 'revoked') {
      const [grace, ...reason] = rest;
      this.context.process.revoked(id, { grace: Number(grace), reason: reason.join(' ') });
    }
  }

  #grantIn(words: readonly string[]): ToldGrant | undefined {
    // It may come from another server than the one that is asked: that one knows what is true.
    if (!this.#presence.proven) return undefined;
    const [token = 0, server = 0, ttl = 0, reserve = 0] = words.map(Number);
    const since = this.context.store.momentOf(server);
    return since && { token, since, ttl, reserve };
  }

  /** What was said while nobody listened. To hear a thing twice changes nothing. Never rejects. */
  async #hearLate(): Promise<void> {
    const { process, runner, store } = this.context;
    const closed = () => this.#requests.closed;
    const said = await runner.insist(() => store.word(process.id), closed).catch(() => []);
    for (const message of said) this.#hearMessage(message);
  }

  /** For who has no bound of its own. */
  #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    const { runner } = this.context;
    const patience = Deadline.in(runner.patience);
    return runner.insist(attempt, () => patience.passed || this.#requests.closed);
  }

  /** Asks until the request has its answer, or nobody wants one; refuses it when it cannot be had. */
  #ask(request: StoreRequest): void {
    const { store, witness } = this.context;
    const ready = witness === undefined && this.#hears === undefined && store.isEntered();
    if (ready) store.acquire(request, this.#hearFirst);
    else this.#requests.insist(request, () => this.#try(request));
  }

  /** The first try needs no more than this, mostly. */
  readonly #hearFirst: Tell = (request, reply) => {
    if (this.#requests.isNobodys(request, reply)) return;
    if (reply.state !== 'failed' && !request.isOver()) {
      this.#requests.take(request, reply);
      return;
    }
    let first = true;
    this.#requests.insist(request, () => {
      if (!first) return this.#try(request);
      first = false;
      return this.#requests.hear(request, reply);
    });
  };

  #try(request: StoreRequest): Promise<void> {
    const { witness } = this.context;
    if (witness === undefined) return this.#attempt(request);
    return witness.try(() => this.#attempt(request));
  }

  async #attempt(request: StoreRequest): Promise<void> {
    const { store, witness } = this.context;
    await Promise.all([store.entered(), this.#hears]);
    if (request.isSettled()) return;
    const connection = witness?.connection ?? 0;
    const reply = await new Promise<StoreReply>((resolve) => {
      store.acquire(request, (_, told) => {
        resolve(told);
      });
    });
    if (this.#requests.isNobodys(request, reply)) return;
    const seen = reply.state !== 'granted' || (await witness?.sees(connection)) !== false;
    const doubt = seen ? undefined : (witness?.trouble ?? new Error('no replica has it'));
    await this.#requests.hear(request, reply, doubt);
  }

  /** Whether a grant that was not the answer to a question may be believed, as far as replicas are concerned. */
  async #confirm({ asked }: StoreRequest, { token }: Grant): Promise<boolean> {
    const { store, witness } = this.context;
    if (witness === undefined) return true;
    const { connection } = witness;
    // A write of our own on this connection, which comes after that of the grant.
    const [renewed] = await store.renew([{ ...asked, token }]);
    return renewed === true && (await witness.sees(connection));
  }
}

function sightOf(seen: Seen): Sight {
  return seen[0] === 'failed' ? ['failed', replyError(seen[1])] : seen;
}
