import { Deadline, Instant, pause, within } from '../../clock.js';
import { LockBackendError } from '../../errors/index.js';
import type {
  Answer,
  Grant,
  KeyState,
  LeaseIdentity,
  LeaseRenewal,
  LockRequest,
} from '../lock-backend.js';
import { graceError } from './failover-guard.js';
import type { Mailbox } from './mailbox.js';
import { isReply } from './redis-errors.js';
import type { RedisRequest } from './redis-request.js';
import { LIVENESS, type AcquireReply, type RedisStore } from './redis-store.js';
import { RedisWaiters } from './redis-waiters.js';
import type { ReplicaWitness } from './replica-witness.js';
import type { ScriptRunner } from './script-runner.js';
import type { ScriptName } from './scripts.js';

export interface RedisBucketContext {
  readonly store: RedisStore;
  readonly runner: ScriptRunner<ScriptName>;
  readonly mailbox: Mailbox;
  /** On which this process is told of its grants. */
  readonly channel: string;
  readonly witness: ReplicaWitness | undefined;
}

/**
 * One process's locks under one hash tag: on one node all of them; on a Cluster those of one of many
 * buckets, each as good as a Redis of its own. The protocol itself is in the scripts.
 */
export class RedisBucket {
  readonly #waiters: RedisWaiters;
  /** Withdrawals that nobody waits for but {@link close}. */
  readonly #withdrawals = new Set<Promise<void>>();
  #closed = false;

  constructor(private readonly context: RedisBucketContext) {
    this.#waiters = new RedisWaiters({
      ...context,
      confirm: context.witness && ((request, grant) => this.#confirm(request, grant)),
      askAgain: (request) => {
        // What comes of it, the request tells.
        this.#ask(request).catch(() => undefined);
      },
      withdrawStray: (request) => {
        this.#withdrawStray(request);
      },
    });
  }

  acquire(asked: LockRequest): Promise<Answer> {
    const request = this.#waiters.add(asked);
    // The grant may come by a message while the reply is still awaited, or was lost.
    return Promise.race([this.#ask(request), request.granted]);
  }

  async cancel(asked: LockRequest): Promise<void> {
    const request = this.#waiters.find(asked.id);
    if (request === undefined) {
      await this.#withdraw(asked);
      return;
    }
    request.over = true;
    this.#waiters.forget(request);
    if (!request.sent) return;
    await this.#withdraw(asked);
    this.#withdrawStray(request);
  }

  renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]> {
    return this.context.store.renew(leases);
  }

  async release(lease: LeaseIdentity): Promise<boolean> {
    const stray = this.#waiters.find(lease.id);
    if (stray !== undefined) stray.over = true;
    const released = await this.context.store.release(lease);
    if (stray !== undefined) {
      this.#waiters.forget(stray);
      this.#withdrawStray(stray);
    }
    return released;
  }

  inspect(key: string): Promise<KeyState> {
    const { runner, store } = this.context;
    const patience = Deadline.in(runner.patience);
    return runner.insist(
      () => store.inspect(key),
      () => patience.passed || this.#closed,
    );
  }

  async close(): Promise<void> {
    this.#waiters.close();
    await within(this.context.runner.patience, Promise.all(this.#withdrawals));
    this.#closed = true;
  }

  /** Asks until there is an answer, or nobody wants one. Rejects, and refuses the request, when it cannot be had. */
  async #ask(request: RedisRequest): Promise<Answer> {
    try {
      return await this.context.runner.insist(
        () => this.#attempt(request),
        () => request.isSettled() || this.#closed,
      );
    } catch (error) {
      if (!request.isSettled()) {
        this.#waiters.forget(request);
        this.#withdrawStray(request);
        request.refuse(error);
      }
      return await request.granted;
    }
  }

  async #attempt(request: RedisRequest): Promise<Answer> {
    const { store, witness } = this.context;
    await store.entered();
    if (request.isSettled()) throw new Error('settled meanwhile');

    const before = Instant.now();
    const connection = witness?.connection;
    const reply = await this.#send(request, before);
    const [state] = reply;
    const seen = state !== 'granted' || (await witness?.sees(connection)) !== false;
    if (request.over || !seen) {
      // The withdrawal may have run first, and found nothing.
      await this.#withdraw(request.asked);
      throw witness?.trouble ?? new Error('withdrawn meanwhile');
    }
    if (request.isSettled()) return request.granted;
    switch (state) {
      case 'granted':
        this.#waiters.settle(request, {
          state,
          token: reply[2],
          since: before,
          ttl: request.asked.ttl,
        });
        return request.granted;
      case 'waiting':
        this.#waiters.stand(request, reply[2], reply[3]);
        return { state, granted: request.granted };
      case 'busy':
        this.#waiters.forget(request);
        this.#withdrawStray(request);
        return { state };
      case 'grace':
        throw new LockBackendError(graceError(reply[2]).message);
      case 'late':
        throw new Error('the request reached Redis too late');
    }
  }

  /** Sends it once, and keeps account of whether it may still run. */
  async #send(request: RedisRequest, before: Instant): Promise<AcquireReply> {
    const { runner, store } = this.context;
    const earlier = request.unanswered;
    request.sent = true;
    const mine = Deadline.in(runner.patience);
    request.unanswered = mine;
    const answered = () => {
      if (request.unanswered === mine) request.unanswered = earlier;
    };
    try {
      const reply = await store.acquire(request.asked, before);
      answered();
      return reply;
    } catch (error) {
      if (isReply(error)) answered();
      throw error;
    }
  }

  /** Whether a grant that was not the answer to a question may be believed, as far as replicas are concerned. */
  async #confirm({ asked }: RedisRequest, { token }: Grant): Promise<boolean> {
    const { store, witness } = this.context;
    if (witness === undefined) return true;
    const { connection } = witness;
    // A write of our own on this connection, which comes after that of the grant.
    const [renewed] = await store.renew([{ ...asked, token }]);
    return renewed === true && (await witness.sees(connection));
  }

  /** What was sent and not answered may run after its request is over, until it is void. */
  #withdrawStray({ asked, mayStillRun, unanswered }: RedisRequest): void {
    if (!mayStillRun || this.#closed) return;
    const withdrawal = pause(unanswered?.remaining ?? 0)
      .then(() => this.#withdraw(asked))
      .catch(() => undefined)
      .finally(() => this.#withdrawals.delete(withdrawal));
    this.#withdrawals.add(withdrawal);
  }

  async #withdraw(asked: LockRequest): Promise<void> {
    const { runner, store } = this.context;
    // By then nothing of it can be left.
    const over = Deadline.in(asked.ttl + LIVENESS);
    await runner.insist(
      () => store.cancel(asked),
      () => over.passed || this.#closed,
    );
  }
}
