import { Deadline, Instant } from '../../time/clock.js';
import { LockBackendError } from '../../errors/index.js';
import { livenessFor } from '../liveness.js';
import {
  busy,
  type BusyKey,
  type Grant,
  type LeaseIdentity,
  type LeaseRenewal,
  type LockRequest,
} from '../lock-backend.js';
import { ServerClock } from '../server-clock.js';
import type { StoreRequest } from '../store-request.js';
import type { StoreReply } from '../store-requests.js';
import { Batch } from './batch.js';
import type { PostgresCalls } from './postgres-calls.js';
import { isPassing } from './postgres-errors.js';
import { guardOf } from './postgres-guard.js';
import { checkVersion } from './schema.js';
import type {
  AcquireAnswer,
  PostgresFunctions,
  Refusal,
  Renewed,
  Seen,
} from './scripts/functions.js';
import { storedKey } from './stored-key.js';

interface AskedAcquire {
  readonly request: StoreRequest;
  readonly tell: (reply: StoreReply) => void;
}

interface AskedRelease {
  readonly lease: { readonly id: string; readonly key: string; readonly keep: number };
  readonly resolve: (released: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** What a heartbeat tells. */
export interface Beat {
  /** A moment before it was sent. */
  readonly before: Instant;
  readonly seen: readonly Seen[];
}

const LATE = new Error('the request reached PostgreSQL too late');
const BROKEN = new Error('the lock was broken meanwhile');

/**
 * The functions of one namespace, as calls: each is one step at the server, tried once. They reject when
 * there is no answer, and then may have run all the same.
 */
export class PostgresStore {
  readonly #clock = new ServerClock();
  readonly #liveness: number;
  #server: string | undefined;
  #entering: Promise<void> | undefined;
  readonly #acquires = new Batch<AskedAcquire>((asked) => this.#sendAcquires(asked));
  readonly #releases = new Batch<AskedRelease>((asked) => this.#sendReleases(asked));

  constructor(
    private readonly calls: PostgresCalls,
    private readonly namespace: string,
    /** Quoted. */
    private readonly schema: string,
    /** Whether messages to this process are heard. */
    private readonly listens: () => boolean,
  ) {
    this.#liveness = livenessFor(calls.patience);
  }

  /**
   * A local moment that is surely not after this time of this server's; undefined when it is not known, or
   * another server is asked.
   */
  momentOf(server: string, time: number): Instant | undefined {
    return server === this.#server ? this.#clock.momentOf(time) : undefined;
  }

  /** Waits until the server is known. */
  async entered(): Promise<void> {
    if (this.#clock.known) return;
    this.#entering ??= this.#enter().finally(() => {
      this.#entering = undefined;
    });
    await this.#entering;
  }

  acquire(request: StoreRequest): Promise<StoreReply> {
    return new Promise((tell) => {
      this.#acquires.add({ request, tell });
    });
  }

  /** All of them or none, in one step. */
  async acquireAll(requests: readonly StoreRequest[]): Promise<readonly Grant[] | BusyKey> {
    const terms = JSON.stringify(requests.map(({ asked }) => termsOf(asked)));
    const { reply, since } = await this.#ask(requests, 'acquire_all', (notAfter) => {
      return [this.namespace, notAfter, terms];
    });
    const [first, ...rest] = reply.slice(2) as (number | Refusal | undefined)[];
    if (first === undefined) throw LATE;
    if (typeof first === 'object') {
      const [state, index, more] = first;
      if (state === 'closed') throw closed(more);
      return { ...busy(more), key: requests[index]?.asked.key ?? '' };
    }
    return requests.map(({ asked }, index) => {
      const token = index === 0 ? first : rest[index - 1];
      return this.#grant(asked, token as number, since);
    });
  }

  release({ id, key }: LeaseIdentity, keepFor: number): Promise<boolean> {
    const lease = { id, key: storedKey(key), keep: Math.ceil(keepFor) };
    return new Promise((resolve, reject) => {
      this.#releases.add({ lease, resolve, reject });
    });
  }

  async cancel({ id, key }: LeaseIdentity): Promise<void> {
    await this.#call('cancel', [this.namespace, storedKey(key), id]);
  }

  async downgrade({ id, key }: LeaseIdentity): Promise<boolean> {
    const [, , owned] = await this.#call('downgrade', [this.namespace, storedKey(key), id]);
    return owned;
  }

  async renew(leases: readonly LeaseRenewal[]): Promise<readonly Renewed[]> {
    const asked = leases.map(({ id, key, ttl }) => ({ id, key: storedKey(key), ttl }));
    const [, , ...renewed] = await this.#call('renew', [this.namespace, JSON.stringify(asked)]);
    return renewed;
  }

  /** Gives a sign of life for each request, and looks how they stand. */
  async heartbeat(requests: readonly LockRequest[]): Promise<Beat> {
    const waiters = JSON.stringify(requests.map(({ id, key }) => ({ id, key: storedKey(key) })));
    const { reply, sent } = await this.#exchange('heartbeat', () => {
      return [this.namespace, this.#liveness, this.listens(), waiters];
    });
    const [, , ...seen] = reply;
    return { before: sent, seen };
  }

  /** A grant, with what makes a transaction of the user's succeed only under it. */
  grant(request: LeaseIdentity, grant: Omit<Grant, 'state' | 'guard'>): Grant {
    const guard = guardOf(this.schema, this.namespace, storedKey(request.key), request.id);
    return { state: 'granted', ...grant, guard };
  }

  #grant(request: LockRequest, token: number, since: Instant, reserve?: number): Grant {
    return this.grant(request, { token, since, ttl: request.ttl, reserve });
  }

  async #sendAcquires(gathered: readonly AskedAcquire[]): Promise<void> {
    const asked = gathered.filter(({ request }) => !request.isSettled());
    if (asked.length === 0) return;
    const requests = asked.map(({ request }) => request);
    const fail = (error: unknown) => {
      for (const { tell } of asked) tell({ state: 'failed', error });
    };
    try {
      const terms = JSON.stringify(requests.map((request) => termsOf(request.asked)));
      const { reply, since } = await this.#ask(requests, 'acquire', (notAfter) => {
        return [this.namespace, notAfter, this.#liveness, this.listens(), terms];
      });
      const [, , ...answers] = reply;
      asked.forEach(({ request, tell }, index) => {
        tell(this.#read(request, answers[index], since));
      });
    } catch (error) {
      if (asked.length === 1 || isPassing(error)) fail(error);
      // What is wrong with one of them must not be the end of the others.
      else for (const one of asked) await this.#sendAcquires([one]);
    }
  }

  #read(request: StoreRequest, answer: AcquireAnswer | undefined, since: Instant): StoreReply {
    if (answer === undefined) return { state: 'failed', error: LATE };
    switch (answer[0]) {
      case 'granted':
        if (request.isBroken(answer[1])) return { state: 'failed', error: BROKEN };
        return this.#grant(request.asked, answer[1], since, answer[2]);
      case 'waiting':
        return { state: 'waiting', remaining: answer[1], place: answer[2] };
      case 'busy':
        return busy(answer[1]);
      case 'closed':
        return { state: 'failed', error: closed(answer[1]) };
    }
  }

  async #sendReleases(asked: readonly AskedRelease[]): Promise<void> {
    try {
      const leases = JSON.stringify(asked.map(({ lease }) => lease));
      const [, , ...released] = await this.#call('release', [this.namespace, leases]);
      asked.forEach(({ resolve }, index) => {
        resolve(released[index] ?? false);
      });
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }

  /**
   * Asks for locks: the server does not do it any more after a time that these requests are told.
   * @param args gives them, with that time
   */
  async #ask<Name extends keyof PostgresFunctions>(
    requests: readonly StoreRequest[],
    name: Name,
    args: (notAfter: number) => PostgresFunctions[Name]['args'],
  ) {
    const { patience } = this.calls;
    let mayRunUntil!: Deadline;
    const { reply, sent: since } = await this.#exchange(name, (now) => {
      const notAfter = this.#clock.timeIn(patience);
      if (notAfter === undefined) throw new Error('the server is not known');
      // It may have been waited for a connection for so long that nobody wants it any more.
      if (requests.every((request) => request.isSettled())) throw new Error('withdrawn meanwhile');
      mayRunUntil = new Deadline(now, patience);
      for (const request of requests) request.leave(mayRunUntil);
      return args(notAfter);
    });
    for (const request of requests) request.answered(mayRunUntil);
    return { reply, since };
  }

  async #call<Name extends keyof PostgresFunctions>(
    name: Name,
    args: PostgresFunctions[Name]['args'],
  ): Promise<PostgresFunctions[Name]['reply']> {
    const { reply } = await this.#exchange(name, () => args);
    return reply;
  }

  /** Calls a function, and learns what the reply tells of the server. */
  async #exchange<Name extends keyof PostgresFunctions>(
    name: Name,
    args: (now: Instant) => PostgresFunctions[Name]['args'],
  ) {
    let sent!: Instant;
    const reply = await this.calls.call(name, () => {
      sent = Instant.now();
      return args(sent);
    });
    const [server, now] = reply;
    this.#server = server;
    this.#clock.learn(sent, now);
    return { reply, sent };
  }

  async #enter(): Promise<void> {
    const [, , version, serves] = await this.#call('enter', []);
    const problem = checkVersion(version, serves, this.schema);
    if (problem === undefined) return;
    this.#clock.forget();
    throw new LockBackendError(problem);
  }
}

/** Why nobody knows whether a lock is free. */
function closed(ms: number): LockBackendError {
  return new LockBackendError(
    `PostgreSQL lost its unlogged tables in a crash, and with them who holds what: it grants nothing for ${ms} ms`,
  );
}

/** A request, as the functions take it. */
function termsOf({ id, key, ttl, mode, limit, queue, reserve }: LockRequest): object {
  const shared = mode === 'shared';
  return { id, key: storedKey(key), ttl, shared, permits: limit, queue, reserve };
}
