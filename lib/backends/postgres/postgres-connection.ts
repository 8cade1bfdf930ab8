import { Deadline, pause, within } from '../../time/clock.js';
import { messageOf } from '../../text/shown.js';
import { keyPattern } from '../key-pattern.js';
import { livenessFor } from '../liveness.js';
import {
  type Answer,
  type BackendConnection,
  type BusyKey,
  type Grant,
  type HeldLease,
  type KeyState,
  type LeaseIdentity,
  type LeaseMode,
  type LeaseRenewal,
  type LockProcess,
  type LockRequest,
  MOST_SHOWN,
  type Revocation,
} from '../lock-backend.js';
import type { StoreRequest } from '../store-request.js';
import type { PostgresCalls } from './postgres-calls.js';
import type { OwnClient } from './postgres-client.js';
import { isPassing } from './postgres-errors.js';
import { PostgresListener } from './postgres-listener.js';
import { PostgresRevocations } from './postgres-revocations.js';
import { type AcquireReply, PostgresStore } from './postgres-store.js';
import { type GrantMessage, PostgresWaiters } from './postgres-waiters.js';
import type { Revoked } from './scripts/functions.js';
import { keyOfStored, likePattern, storedKey } from './stored-key.js';

/** How long the first requests of a process wait until it hears, in milliseconds. */
const FIRST_WORD = 200;

/** So many keys in a page of a list. */
const PAGE = 1_000;

/** How often this process offers to remove what was left behind, in milliseconds. */
const SWEEP = 60_000;

export interface PostgresConnectionContext {
  readonly calls: PostgresCalls;
  readonly namespace: string;
  /** Quoted. */
  readonly schema: string;
  /** Opens the connection that listens; undefined where waiters only look. */
  readonly listener: (() => OwnClient) | undefined;
  /** Closes what was opened for the calls. */
  readonly close: () => Promise<void>;
}

/** One process's locks on PostgreSQL. The protocol itself is in scripts/. */
export class PostgresConnection implements BackendConnection {
  readonly #store: PostgresStore;
  readonly #waiters: PostgresWaiters;
  readonly #listener: PostgresListener | undefined;
  readonly #revocations = new PostgresRevocations();
  /** Withdrawals that nobody waits for but {@link close}. */
  readonly #withdrawals = new Set<Promise<void>>();
  /** Resolves when messages arrive, or seem not to; undefined then. */
  #hears: Promise<void> | undefined;
  #nextSweep = Deadline.in(SWEEP);
  #closed = false;

  constructor(
    private readonly process: LockProcess,
    private readonly context: PostgresConnectionContext,
  ) {
    const { calls, namespace, schema, listener } = context;
    const listens = () => this.#listener?.isHeard === true;
    this.#store = new PostgresStore(calls, namespace, schema, listens);
    this.#waiters = new PostgresWaiters({
      store: this.#store,
      listens,
      toBackendError: (error) => calls.toBackendError(error),
      askAgain: (request) => {
        this.#ask(request);
      },
      end: (request) => {
        this.#end(request);
      },
    });
    if (listener !== undefined) {
      let hear!: () => void;
      const listening = new Promise<void>((resolve) => {
        hear = resolve;
      });
      this.#hears = within(FIRST_WORD, listening).then(() => {
        this.#hears = undefined;
      });
      this.#listener = new PostgresListener({
        ...{ open: listener, process: process.id, schema, patience: calls.patience },
        beat: () => calls.call('beat', () => [process.id]),
        hear: (message) => {
          this.#hearMessage(message);
        },
        listening: () => {
          // What was said while nobody listened is found by looking.
          this.#waiters.lookSoon();
          hear();
        },
        warn: (message) => {
          process.warn(message);
        },
      });
    }
    // Early, so that who starts with a schema that is not there is told at once.
    this.#store.entered().catch((error: unknown) => {
      if (!isPassing(error) && !this.#closed) {
        process.warn(messageOf(calls.toBackendError(error)));
      }
    });
  }

  troubleWith(): Error | undefined {
    return this.context.calls.trouble;
  }

  acquire(asked: LockRequest): Promise<Answer> {
    const known = this.#waiters.find(asked.id);
    if (known?.isSettled() === false) return known.answer;
    const request = this.#waiters.add(asked);
    this.#ask(request);
    this.#sweep();
    return request.answer;
  }

  async acquireAll(asked: readonly LockRequest[]): Promise<readonly Grant[] | BusyKey> {
    const requests = asked.map((one) => this.#waiters.add(one));
    const granted = new Set<StoreRequest>();
    const pointless = () => this.#closed || requests.some((request) => request.isSettled());
    try {
      const reply = await this.context.calls.insist(() => this.#attemptAll(requests), pointless);
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
    this.#revocations.forget(asked.id);
    const request = this.#waiters.find(asked.id);
    if (request === undefined) {
      await this.#withdraw(asked);
      return;
    }
    request.end();
    this.#waiters.forget(request);
    if (request.sent) await this.#withdraw(asked);
    this.#end(request);
  }

  async renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]> {
    if (leases.length === 0) return [];
    const renewed = await this.#store.renew(leases);
    return leases.map(({ id, ttl }, index) => {
      const answer = renewed[index] ?? null;
      if (answer === null) return new Error('PostgreSQL is busy with this lock');
      if (typeof answer === 'boolean') return answer;
      this.#hearRevocation(id, answer, ttl);
      return true;
    });
  }

  async release(lease: HeldLease, keepFor: number): Promise<boolean> {
    this.#revocations.forget(lease.id);
    const stray = this.#waiters.find(lease.id);
    stray?.end();
    const released = await this.#store.release(lease, keepFor);
    // An earlier try may still run at the server.
    if (stray !== undefined) this.#end(stray);
    return released;
  }

  downgrade(lease: LeaseIdentity): Promise<boolean> {
    return this.context.calls.patiently(() => this.#store.downgrade(lease));
  }

  inspect(key: string): Promise<KeyState> {
    const { calls, namespace } = this.context;
    return calls.patiently(async () => {
      const args = [namespace, storedKey(key), MOST_SHOWN] as const;
      const [, , holders, waiters, queue] = await calls.call('inspect', () => args);
      return { holders: holders.map(withMode), waiters, queue: queue.map(withMode) };
    });
  }

  async *list(pattern: string): AsyncGenerator<string, void, undefined> {
    const { calls, namespace } = this.context;
    const matches = keyPattern(pattern);
    let page: string[];
    let after = '';
    do {
      const args = [namespace, after, likePattern(pattern), PAGE] as const;
      [, , ...page] = await calls.patiently(() => calls.call('list', () => args));
      for (const key of page.map(keyOfStored)) if (matches.test(key)) yield key;
      after = page.at(-1) ?? '';
    } while (page.length === PAGE);
  }

  async revoke(key: string, { reason, grace }: Revocation): Promise<number> {
    const { calls, namespace } = this.context;
    const args = [namespace, storedKey(key), grace, reason.replaceAll('\0', ' ')] as const;
    const [, , count] = await calls.patiently(() => calls.call('revoke', () => args));
    return count;
  }

  async forceRelease(key: string): Promise<number> {
    const { calls, namespace } = this.context;
    await calls.patiently(() => this.#store.entered());
    try {
      const [, , count] = await calls.call('force_release', () => [namespace, storedKey(key)]);
      return count;
    } catch (error) {
      // It may have run all the same, and by now the lock may be somebody else's: never twice.
      throw calls.toBackendError(error);
    }
  }

  async close(): Promise<void> {
    const { calls, close } = this.context;
    this.#waiters.close();
    await within(calls.patience, Promise.all(this.#withdrawals));
    this.#closed = true;
    calls.close();
    await Promise.all([this.#listener?.close(), within(calls.patience, close())]);
  }

  #hearMessage(message: string): void {
    const { process } = this;
    const [word, id = '', ...rest] = JSON.parse(message) as [string, string?, ...unknown[]];
    if (word === 'granted') {
      this.#waiters.hearGrant(id, rest as unknown as GrantMessage);
    } else if (word === 'lost') {
      const [token] = rest as [number];
      this.#break(id, token);
      process.lost(id, token);
    } else if (word === 'revoked') {
      const [number, grace, text, life] = rest as [...Revoked, life: number];
      this.#hearRevocation(id, [number, grace, text], life);
    }
  }

  /** By a message, and by each renewal that follows: of a lease that lives for so long, unless it is renewed. */
  #hearRevocation(id: string, [number, grace, reason]: Revoked, life: number): void {
    if (this.#revocations.isNew(id, number, life)) this.process.revoked(id, { grace, reason });
  }

  #break(id: string, token: number): void {
    const request = this.#waiters.find(id);
    request?.break(token);
    // What may still run at the server would grant it again, to nobody.
    if (request?.token !== undefined && request.isBroken(request.token)) this.#end(request);
  }

  /** Asks until the request has its answer, or nobody wants one; refuses it when it cannot be had. */
  #ask(request: StoreRequest): void {
    const attempt = () => this.#attempt(request);
    this.context.calls
      .insist(attempt, () => request.isSettled() || this.#closed)
      .catch((error: unknown) => {
        if (request.isSettled()) return;
        request.refuse(error);
        this.#end(request);
      });
  }

  async #attempt(request: StoreRequest): Promise<void> {
    if (this.#hears !== undefined) await this.#hears;
    await this.#store.entered();
    if (request.isSettled()) return;
    const reply = await this.#store.acquire(request);
    if (this.#isNobodys(request, reply)) return;
    if (reply.state === 'failed') throw reply.error;
    if (request.isOver()) {
      // The withdrawal may have run first, and found nothing.
      await this.#withdraw(request.asked);
      throw new Error('withdrawn meanwhile');
    }
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

  async #attemptAll(requests: readonly StoreRequest[]): Promise<readonly Grant[] | BusyKey> {
    if (this.#hears !== undefined) await this.#hears;
    await this.#store.entered();
    const reply = await this.#store.acquireAll(requests);
    if (requests.some((request) => request.isOver()) && !('key' in reply)) {
      // The withdrawal may have run first, and found nothing.
      await Promise.all(requests.map(({ asked }) => this.#withdraw(asked)));
      throw new Error('withdrawn meanwhile');
    }
    return reply;
  }

  /**
   * Whether it has been granted before by a message, and that lease was broken when this try of it came to
   * the server: what it was granted again is given back.
   */
  #isNobodys(request: StoreRequest, reply: AcquireReply): boolean {
    const { token } = request;
    if (token === undefined || reply.state !== 'granted' || reply.token === token) return false;
    this.#background(this.#withdraw(request.asked));
    return true;
  }

  /**
   * Nothing of a request is to stay at the server: what was sent and not answered may run after it is
   * over, until it is void.
   */
  #end(request: StoreRequest): void {
    this.#waiters.forget(request);
    const { asked, stray } = request;
    if (stray === undefined || this.#closed) return;
    this.#background(pause(stray.remaining).then(() => this.#withdraw(asked)));
  }

  #background(withdrawal: Promise<void>): void {
    const ended = withdrawal.catch(() => undefined).finally(() => this.#withdrawals.delete(ended));
    this.#withdrawals.add(ended);
  }

  async #withdraw(asked: LockRequest): Promise<void> {
    const { calls } = this.context;
    // By then nothing of it can be left.
    const over = Deadline.in(asked.ttl + livenessFor(calls.patience));
    await calls.insist(
      () => this.#store.cancel(asked),
      () => over.passed || this.#closed,
    );
  }

  /** What those left behind who died holding a key that nobody asks for any more. */
  #sweep(): void {
    if (!this.#nextSweep.passed) return;
    this.#nextSweep = Deadline.in(SWEEP);
    this.context.calls.call('sweep', () => []).catch(() => undefined);
  }
}

/** With the mode in the words of the contract. */
function withMode<State extends { readonly shared: boolean }>({ shared, ...state }: State) {
  const mode: LeaseMode = shared ? 'shared' : 'exclusive';
  return { ...state, mode };
}
