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
import type { AcquireAllReply } from './acquire-all.js';
import type { Tell } from './acquire-batch.js';
import type { AcquireReply } from './acquire-reply.js';
import { FIRST_WORD, type Mailbox } from '../redis-common/mailbox.js';
import type { Pulse } from './pulse.js';
import type { RedisOperators } from './redis-operators.js';
import type { StoreRequest } from '../store-request.js';
import { Withdrawals } from '../withdrawals.js';
import type { RedisStore } from './redis-store.js';
import type { Presence } from '../redis-common/presence.js';
import { RedisWaiters } from './redis-waiters.js';
import type { ReplicaWitness } from './replica-witness.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { RedisCalls } from './scripts/calls.js';

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
  readonly #waiters: RedisWaiters;
  readonly #presence: Presence;
  readonly #withdrawals: Withdrawals;
  /** Resolves when messages arrive, or seem not to; undefined then. */
  #hears: Promise<void> | undefined;
  #closed = false;

  constructor(private readonly context: RedisBucketContext) {
    const { channel, mailbox, runner, store } = context;
    this.#withdrawals = new Withdrawals({
      patience: runner.patience,
      cancel: (asked) => store.cancel(asked),
      insist: (attempt, pointless) => runner.insist(attempt, pointless),
    });
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
        this.#waiters.lookSoon();
        // Nothing was granted before it first heard, unless that took too long.
        if (this.#hears === undefined) void this.#hearLate();
        hear();
      },
    });
    this.#waiters = new RedisWaiters({
      ...context,
      presence: this.#presence,
      confirm: context.witness && ((request, grant) => this.#confirm(request, grant)),
      askAgain: (request) => {
        this.#ask(request);
      },
      end: (request) => {
        this.#end(request);
      },
    });
    this.#hears = within(FIRST_WORD, listening).then(() => {
      this.#hears = undefined;
    });
  }

  /** The next request may go to another server, with another clock and another memory. */
  asksElsewhere(): void {
    this.context.store.forget();
    this.#presence.asksElsewhere();
    this.#waiters.lookSoon();
  }

  acquire(asked: LockRequest): Promise<Answer> {
    const known = this.#waiters.find(asked.id);
    if (known?.isSettled() === false) return known.answer;
    const request = this.#waiters.add(asked);
    this.#ask(request);
    return request.answer;
  }

  /** One attempt at all of them, in one step. */
  async acquireAll(asked: readonly LockRequest[]): Promise<readonly Grant[] | BusyKey> {
    const { runner } = this.context;
    const requests = asked.map((one) => this.#waiters.add(one));
    const granted = new Set<StoreRequest>();
    const pointless = () => this.#closed || requests.some((request) => request.isSettled());
    try {
      const reply = await runner.insist(() => this.#attemptAll(requests), pointless);
      if ('key' in reply) return reply;
      requests.forEach((request, index) => {
        this.#waiters.settle(request, reply[index] as Grant);
        granted.add(request);
      });
      return reply;
    } finally {
      for (const request of requests) if (!granted.has(request)) this.#end(request);
    }
  }

  async cancel(asked: LockRequest): Promise<void> {
    const request = this.#waiters.find(asked.id);
    if (request === undefined) {
      await this.#withdrawals.withdraw(asked);
      return;
    }
    request.end();
    this.#waiters.forget(request);
    if (request.sent) await this.#withdrawals.withdraw(asked);
    this.#end(request);
  }

  renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]> {
    // Who only holds finds out by it that it is not heard.
    const beaten = this.#presence.isDue ? this.#presence.beat() : undefined;
    return this.context.store.renew(leases, beaten);
  }

  release(lease: HeldLease, keepFor: number): Promise<boolean> {
    const stray = this.#waiters.find(lease.id);
    if (stray !== undefined) return this.#releaseBeside(stray, lease, keepFor);
    return this.context.store.release(lease, keepFor);
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

  async close(): Promise<void> {
    this.#waiters.close();
    await this.#withdrawals.close();
    this.#closed = true;
  }

  /** `lost <id> <token>`, `revoked <id> <ms of grace> <reason>`, or what waiters are told. */
  #hearMessage(message: string): void {
    const [word, id = '', ...rest] = message.split(' ');
    if (word === 'lost') {
      const token = Number(rest[0]);
      this.#break(id, token);
      this.context.process.lost(id, token);
    } else if (word === 'revoked') {
      const [grace, ...reason] = rest;
      this.context.process.revoked(id, { grace: Number(grace), reason: reason.join(' ') });
    } else {
      this.#waiters.hear(word, id, rest);
    }
  }

  #break(id: string, token: number): void {
    const request = this.#waiters.find(id);
    request?.break(token);
    // What may still run at the server would grant it again, to nobody.
    if (request?.token !== undefined && request.isBroken(request.token)) this.#end(request);
  }

  /** What was said while nobody listened. To hear a thing twice changes nothing. Never rejects. */
  async #hearLate(): Promise<void> {
    const { process, runner, store } = this.context;
    const closed = () => this.#closed;
    const said = await runner.insist(() => store.word(process.id), closed).catch(() => []);
    for (const message of said) this.#hearMessage(message);
  }

  /** For who has no bound of its own. */
  #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    const { runner } = this.context;
    const patience = Deadline.in(runner.patience);
    return runner.insist(attempt, () => patience.passed || this.#closed);
  }

  /** Asks until the request has its answer, or nobody wants one; refuses it when it cannot be had. */
  #ask(request: StoreRequest): void {
    const { store, witness } = this.context;
    const ready = witness === undefined && this.#hears === undefined && store.isEntered();
    if (ready) store.acquire(request, this.#hearFirst);
    else this.#insist(request, () => this.#try(request));
  }

  /** The first try needs no more than this, mostly. */
  readonly #hearFirst: Tell = (request, reply) => {
    if (this.#isNobodys(request, reply)) return;
    if (reply.state !== 'failed' && !request.isOver()) {
      this.#take(request, reply);
      return;
    }
    let first = true;
    this.#insist(request, () => {
      if (!first) return this.#try(request);
      first = false;
      return this.#hear(request, reply);
    });
  };

  #insist(request: StoreRequest, attempt: () => Promise<void>): void {
    this.context.runner
      .insist(attempt, () => request.isSettled() || this.#closed)
      .catch((error: unknown) => {
        if (request.isSettled()) return;
        request.refuse(error);
        this.#end(request);
      });
  }

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
    const reply = await new Promise<AcquireReply>((resolve) => {
      store.acquire(request, (_, told) => {
        resolve(told);
      });
    });
    if (this.#isNobodys(request, reply)) return;
    const seen = reply.state !== 'granted' || (await witness?.sees(connection)) !== false;
    await this.#hear(request, reply, seen);
  }

  async #attemptAll(requests: readonly StoreRequest[]): Promise<AcquireAllReply> {
    const { store } = this.context;
    await this.#hears;
    const reply = await store.acquireAll(requests);
    if (requests.some((request) => request.isOver()) && Array.isArray(reply)) {
      // The withdrawal may have run first, and found nothing.
      await Promise.all(requests.map(({ asked }) => this.#withdrawals.withdraw(asked)));
      throw new Error('withdrawn meanwhile');
    }
    return reply;
  }

  async #hear(request: StoreRequest, reply: AcquireReply, seen = true): Promise<void> {
    if (reply.state === 'failed') throw reply.error;
    if (request.isOver() || !seen) {
      // The withdrawal may have run first, and found nothing.
      await this.#withdrawals.withdraw(request.asked);
      throw this.context.witness?.trouble ?? new Error('withdrawn meanwhile');
    }
    this.#take(request, reply);
  }

  #take(request: StoreRequest, reply: Exclude<AcquireReply, { state: 'failed' }>): void {
    if (request.isSettled()) return;
    if (reply.state === 'granted') {
      this.#waiters.settle(request, reply);
    } else if (reply.state === 'waiting') {
      this.#waiters.stand(request, reply.remaining, reply.place);
    } else {
      request.turnAway(reply);
      this.#end(request);
    }
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

  /** Of a lease for which an earlier try may still run at the server. */
  async #releaseBeside(stray: StoreRequest, lease: HeldLease, keepFor: number): Promise<boolean> {
    stray.end();
    const released = await this.context.store.release(lease, keepFor);
    this.#end(stray);
    return released;
  }

  /** Nothing of it is to stay at the server. */
  #end(request: StoreRequest): void {
    this.#waiters.forget(request);
    this.#withdrawals.afterStray(request);
  }

  /**
   * Whether it has been granted before by a message, and that lease was broken when this try of it came to
   * the server: what it was granted again is given back.
   */
  #isNobodys(request: StoreRequest, reply: AcquireReply): boolean {
    const { token } = request;
    if (token === undefined || reply.state !== 'granted' || reply.token === token) return false;
    this.#withdrawals.inBackground(request.asked);
    return true;
  }
}
