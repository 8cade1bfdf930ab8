import { Deadline, pause, within } from '../../time/clock.js';
import { messageOf } from '../../text/shown.js';
import { keyPattern } from '../key-pattern.js';
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
import { StoreRequests } from '../store-requests.js';
import type { ToldGrant } from '../store-waiters.js';
import type { PostgresCalls } from './postgres-calls.js';
import type { OwnClient } from './postgres-client.js';
import { isPassing } from './postgres-errors.js';
import { PostgresListener } from './postgres-listener.js';
import { PostgresRevocations } from './postgres-revocations.js';
import { PostgresStore } from './postgres-store.js';
import type { Renewed, Revoked } from './scripts/functions.js';
import { keyOfStored, likePattern, storedKey } from './stored-key.js';

/** How long the first requests of a process wait until it hears, in milliseconds. */
const FIRST_WORD = 200;

/** Between two signs of life, in milliseconds: of who is told of its grants, and of who only looks. */
const [TOLD, LOOKING] = [1_250, 1_000];

/** Before a renewal is asked for again whose row is locked, in milliseconds: each step holds it for a moment. */
const BUSY_PAUSES = [10, 40, 160, 640];

/** So many keys in a page of a list. */
const PAGE = 1_000;

/** How often this process offers to remove what was left behind, in milliseconds. */
const SWEEP = 60_000;

/** What a message says of a grant. */
type GrantMessage = readonly [
  server: string,
  now: number,
  token: number,
  life: number,
  reserved: number,
];

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
  readonly #requests: StoreRequests;
  readonly #listener: PostgresListener | undefined;
  readonly #revocations = new PostgresRevocations();
  /** Resolves when messages arrive, or seem not to; undefined then. */
  #hears: Promise<void> | undefined;
  #nextSweep = Deadline.in(SWEEP);

  constructor(
    private readonly process: LockProcess,
    private readonly context: PostgresConnectionContext,
  ) {
    const { calls, namespace, schema, listener } = context;
    const listens = () => this.#listener?.isHeard === true;
    this.#store = new PostgresStore(calls, namespace, schema, listens);
    this.#requests = new StoreRequests({
      patience: calls.patience,
      ask: (request) => {
        this.#requests.insist(request, () => this.#attempt(request));
      },
      attemptAll: async (requests) => {
        await this.#entered();
        return this.#store.acquireAll(requests);
      },
      cancel: (asked) => this.#store.cancel(asked),
      insist: (attempt, pointless) => calls.insist(attempt, pointless),
      heartbeat: (asked) => this.#store.heartbeat(asked),
      nextBeat: () => Deadline.in(listens() ? TOLD : LOOKING),
      looksAtOnce: () => false,
      looksPerMillisecond: 50,
      toGrant: (request, told) => this.#store.grant(request, told),
      isPassing,
      toBackendError: (error) => calls.toBackendError(error),
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
          this.#requests.waiters.lookSoon();
          hear();
        },
        warn: (message) => {
          process.warn(message);
        },
      });
    }
    // Early, so that who starts with a schema that is not there is told at once.
    this.#store.entered().catch((error: unknown) => {
      if (!isPassing(error) && !this.#requests.closed) {
        process.warn(messageOf(calls.toBackendError(error)));
      }
    });
  }

  troubleWith(): Error | undefined {
    return this.context.calls.trouble;
  }

  acquire(asked: LockRequest): Promise<Answer> {
    const answer = this.#requests.acquire(asked);
    this.#sweep();
    return answer;
  }

  acquireAll(asked: readonly LockRequest[]): Promise<readonly Grant[] | BusyKey> {
    return this.#requests.acquireAll(asked);
  }

  cancel(asked: LockRequest): Promise<void> {
    this.#revocations.forget(asked.id);
    return this.#requests.cancel(asked);
  }

  async renew(leases: readonly LeaseRenewal[]): Promise<readonly (boolean | Error)[]> {
    if (leases.length === 0) return [];
    const renewed = await this.#renewed(leases);
    return leases.map(({ id, ttl }, index) => {
      const answer = renewed[index] ?? null;
      if (answer === null) return new Error('PostgreSQL is busy with this lock');
      if (typeof answer === 'boolean') return answer;
      this.#hearRevocation(id, answer, ttl);
      return true;
    });
  }

  /** Asks again about those that another step has in its hands: it may be one of ours, on another connection. */
  async #renewed(leases: readonly LeaseRenewal[]): Promise<Renewed[]> {
    const renewed = [...(await this.#store.renew(leases))];
    // The others hear no earlier than these, so none of them may wait for a good part of its life.
    const longest = Math.min(...leases.map(({ ttl }) => ttl)) / 10;
    for (const ms of BUSY_PAUSES.filter((one) => one <= longest)) {
      const busy = leases.flatMap((lease, index) =>
        renewed[index] === null ? [{ lease, index }] : [],
      );
      if (busy.length === 0) break;
      await pause(ms);
      const again = await this.#store.renew(busy.map(({ lease }) => lease)).catch(() => []);
      busy.forEach(({ index }, place) => {
        renewed[index] = again[place] ?? null;
      });
    }
    return renewed;
  }

  release(lease: HeldLease, keepFor: number): Promise<boolean> {
    this.#revocations.forget(lease.id);
    return this.#requests.release(lease, () => this.#store.release(lease, keepFor));
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
    await this.#requests.close();
    calls.close();
    await Promise.all([this.#listener?.close(), within(calls.patience, close())]);
  }

  #hearMessage(message: string): void {
    const { process } = this;
    const [word, id = '', ...rest] = JSON.parse(message) as [string, string?, ...unknown[]];
    if (word === 'granted') {
      this.#requests.waiters.hearGrant(id, this.#grantIn(rest as unknown as GrantMessage));
    } else if (word === 'lost') {
      const [token] = rest as [number];
      this.#requests.break(id, token);
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

  #grantIn([server, now, token, ttl, reserve]: GrantMessage): ToldGrant | undefined {
    // It may come from another server than the one that is asked: that one knows what is true.
    const since = this.#store.momentOf(server, now);
    return since && { token, since, ttl, reserve };
  }

  async #entered(): Promise<void> {
    if (this.#hears !== undefined) await this.#hears;
    await this.#store.entered();
  }

  async #attempt(request: StoreRequest): Promise<void> {
    await this.#entered();
    if (request.isSettled()) return;
    const reply = await this.#store.acquire(request);
    if (!this.#requests.isNobodys(request, reply)) await this.#requests.hear(request, reply);
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
