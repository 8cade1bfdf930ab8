import type { Answer, Busy, BusyKey, Grant, LeaseIdentity, LockRequest } from './lock-backend.js';
import type { StoreRequest } from './store-request.js';
import { StoreWaiters, type StoreWaitersContext } from './store-waiters.js';
import { Withdrawals } from './withdrawals.js';

/** What a try of a request came to. */
export type StoreReply =
  | Grant
  | Busy
  | { readonly state: 'waiting'; readonly remaining: number; readonly place: number }
  | { readonly state: 'failed'; readonly error: unknown };

export interface StoreRequestsContext extends Omit<StoreWaitersContext, 'askAgain' | 'end'> {
  /** How long to wait for an answer, in milliseconds. */
  readonly patience: number;
  /** Asks for it until it has its answer, or nobody wants one: see {@link StoreRequests.insist}. */
  readonly ask: (request: StoreRequest) => void;
  /** Asks for all of them once, in one step. */
  readonly attemptAll: (requests: readonly StoreRequest[]) => Promise<readonly Grant[] | BusyKey>;
  /** Takes back what there is of a request, once. */
  readonly cancel: (asked: LockRequest) => Promise<void>;
  /** Tries until it succeeds, fails for good, or is pointless. */
  readonly insist: <T>(attempt: () => Promise<T>, pointless: () => boolean) => Promise<T>;
}

/**
 * The requests of one process at one store, from when they are asked for the first time until nothing of
 * them can be left there: a grant may come as an answer, by a message or by a heartbeat, and any of them
 * may be late, or lost, or for somebody who has gone meanwhile.
 */
export class StoreRequests {
  readonly waiters: StoreWaiters;
  readonly #withdrawals: Withdrawals;
  #closed = false;

  constructor(private readonly context: StoreRequestsContext) {
    this.#withdrawals = new Withdrawals(context);
    this.waiters = new StoreWaiters({
      ...context,
      askAgain: context.ask,
      end: (request) => {
        this.#end(request);
      },
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  acquire(asked: LockRequest): Promise<Answer> {
    const known = this.waiters.find(asked.id);
    if (known?.isSettled() === false) return known.answer;
    const request = this.waiters.add(asked);
    this.context.ask(request);
    return request.answer;
  }

  /** One attempt at all of them, in one step. */
  async acquireAll(asked: readonly LockRequest[]): Promise<readonly Grant[] | BusyKey> {
    const requests = asked.map((one) => this.waiters.add(one));
    const granted = new Set<StoreRequest>();
    const pointless = () => this.#closed || requests.some((request) => request.isSettled());
    try {
      const reply = await this.context.insist(() => this.#attemptAll(requests), pointless);
      if ('key' in reply) return reply;
      requests.forEach((request, index) => {
        this.waiters.settle(request, reply[index] as Grant);
        granted.add(request);
      });
      return reply;
    } finally {
      for (const request of requests) if (!granted.has(request)) this.#end(request);
    }
  }

  async cancel(asked: LockRequest): Promise<void> {
    const request = this.waiters.find(asked.id);
    if (request === undefined) {
      await this.#withdrawals.withdraw(asked);
      return;
    }
    request.end();
    this.waiters.forget(request);
    if (request.sent) await this.#withdrawals.withdraw(asked);
    this.#end(request);
  }

  /** Of a lease for which an earlier try may still run at the server. */
  release({ id }: LeaseIdentity, release: () => Promise<boolean>): Promise<boolean> {
    const stray = this.waiters.find(id);
    return stray === undefined ? release() : this.#releaseBeside(stray, release);
  }

  /** Tries until the request has its answer, or nobody wants one; refuses it when it cannot be had. */
  insist(request: StoreRequest, attempt: () => Promise<void>): void {
    this.context
      .insist(attempt, () => request.isSettled() || this.#closed)
      .catch((error: unknown) => {
        if (!request.isSettled()) request.refuse(error);
        // The try may have left after it was over, and been withdrawn before that.
        if (request.token === undefined) this.#end(request);
      });
  }

  /**
   * What a try came to. Rejects when there is to be another one.
   * @param doubt why a grant is not to be believed
   */
  async hear(request: StoreRequest, reply: StoreReply, doubt?: Error): Promise<void> {
    if (reply.state === 'failed') throw reply.error;
    if (request.isOver() || doubt !== undefined) {
      // The withdrawal may have run first, and found nothing. A release must have run: it is to find its lease.
      await request.whenGivenBack();
      await this.#withdrawals.withdraw(request.asked);
      throw doubt ?? new Error('withdrawn meanwhile');
    }
    this.take(request, reply);
  }

  take(request: StoreRequest, reply: Exclude<StoreReply, { state: 'failed' }>): void {
    if (request.isSettled()) return;
    if (reply.state === 'granted') {
      this.waiters.settle(request, reply);
    } else if (reply.state === 'waiting') {
      this.waiters.stand(request, reply.remaining, reply.place);
    } else {
      request.turnAway(reply);
      this.#end(request);
    }
  }

  /**
   * Whether it has been granted before by a message, and that lease was broken when this try of it came to
   * the server: what it was granted again is given back.
   */
  isNobodys(request: StoreRequest, reply: StoreReply): boolean {
    const { token } = request;
    if (token === undefined || reply.state !== 'granted' || reply.token === token) return false;
    this.#withdrawals.inBackground(request.asked);
    return true;
  }

  /** It was heard that a lease was broken. */
  break(id: string, token: number): void {
    const request = this.waiters.find(id);
    request?.break(token);
    // What may still run at the server would grant it again, to nobody.
    if (request?.token !== undefined && request.isBroken(request.token)) this.#end(request);
  }

  async close(): Promise<void> {
    this.waiters.close();
    await this.#withdrawals.close();
    this.#closed = true;
  }

  async #attemptAll(requests: readonly StoreRequest[]): Promise<readonly Grant[] | BusyKey> {
    const reply = await this.context.attemptAll(requests);
    if (requests.some((request) => request.isOver()) && !('key' in reply)) {
      // The withdrawal may have run first, and found nothing.
      await Promise.all(requests.map(({ asked }) => this.#withdrawals.withdraw(asked)));
      throw new Error('withdrawn meanwhile');
    }
    return reply;
  }

  async #releaseBeside(stray: StoreRequest, release: () => Promise<boolean>): Promise<boolean> {
    const givenBack = release();
    stray.end(givenBack);
    const released = await givenBack;
    this.#end(stray);
    return released;
  }

  /** Nothing of it is to stay at the server. */
  #end(request: StoreRequest): void {
    this.waiters.forget(request);
    this.#withdrawals.afterStray(request);
  }
}
