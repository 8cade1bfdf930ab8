import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type {
  Answer,
  BackendConnection,
  Grant,
  LeaseMode,
  LockBackend,
  LockProcess,
  LockRequest,
  Revocation,
} from '../backends/lock-backend.js';
import type { LockModuleOptions } from '../interfaces/index.js';
import { LockService } from '../lock.service.js';
import { LONG, SOON, soon } from './patience.js';

/** Ending by time is tested with leases of this life, or the backend's shortest, in milliseconds. */
const SHORT = 400;

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** A store of one test's own, and all that comes and goes at it. */
export class World {
  /** Every request for a lock that the services of this world sent, in their order. */
  readonly requests: LockRequest[] = [];
  readonly #peers: Peer[] = [];
  readonly #services: LockService[] = [];

  constructor(readonly backend: LockBackend) {}

  /** A ttl that is short enough to be waited for. */
  get short(): number {
    return Math.max(SHORT, this.backend.minTtl);
  }

  /** One more process at the store, by its bare connection: it does only what it is told. */
  process(): Peer {
    const id = randomBytes(12).toString('base64url');
    const [lost, revoked]: [string[], [string, Revocation][]] = [[], []];
    const connection = this.backend.connect({
      id,
      warn: () => undefined,
      lost: (id) => lost.push(id),
      revoked: (...told) => revoked.push(told),
    });
    const peer = new Peer(id, connection, { lost, revoked });
    this.#peers.push(peer);
    return peer;
  }

  /** One more process at the store, by its LockService. */
  service(options: Omit<LockModuleOptions, 'backend'> = {}): LockService {
    const connect = (process: LockProcess) =>
      listening(this.backend.connect(process), (request) => this.requests.push(request));
    const { name, minTtl, supports } = this.backend;
    // Without grace: a test that failed half-way still holds its locks.
    const service = new LockService({
      shutdownGrace: 0,
      ...options,
      backend: { name, minTtl, supports, connect },
    });
    this.#services.push(service);
    return service;
  }

  async close(): Promise<void> {
    await Promise.all(this.#services.map((service) => service.close()));
    await Promise.all(this.#peers.map((peer) => peer.close()));
  }
}

/** A lease that a peer was granted. */
export interface Taken {
  readonly request: LockRequest;
  readonly grant: Grant;
}

/** A place in the queue that a peer was given. */
export interface Place {
  readonly request: LockRequest;
  /** The grant, when it comes as soon as it should. */
  grant(ms?: number): Promise<Grant>;
}

/** How a request is to hold its key; alone when nothing is said. */
export interface Sharing {
  readonly mode?: LeaseMode;
  readonly limit?: number;
}

/** One process, as the store sees it. It renews nothing by itself, so that it is as good as dead. */
export class Peer {
  #requests = 0;
  /** The token of each grant, by request id. */
  readonly #tokens = new Map<string, number>();
  #closed: Promise<void> | undefined;

  constructor(
    private readonly id: string,
    readonly connection: BackendConnection,
    /** What the connection told this process of its leases: request ids, and what was said. */
    readonly told: {
      readonly lost: readonly string[];
      readonly revoked: readonly [id: string, Revocation][];
    },
  ) {}

  request(key: string, ttl = LONG, queue = false, sharing: Sharing = {}): LockRequest {
    const { mode = 'exclusive', limit = 1 } = sharing;
    // Some tell of a trace: it must be in no store's way.
    const trace = ++this.#requests % 2 === 0 ? `:${TRACEPARENT}` : '';
    const id = `${this.id}${trace}:${this.#requests}`;
    return { id, key, ttl, reserve: 0, queue, mode, limit };
  }

  ask(request: LockRequest, ms = SOON): Promise<Answer> {
    return soon(`an answer for ${request.key}`, this.connection.acquire(request), ms);
  }

  /** Takes a lock that is free. */
  async take(key: string, ttl?: number, ms?: number, sharing?: Sharing): Promise<Taken> {
    const request = this.request(key, ttl, false, sharing);
    const grant = await this.ask(request, ms);
    assert.ok(grant.state === 'granted', `${key} should be free, but is ${grant.state}`);
    this.#tokens.set(request.id, grant.token);
    return { request, grant };
  }

  /** Joins the queue of a lock that is held. */
  async queue(key: string, ttl?: number, sharing?: Sharing): Promise<Place> {
    const request = this.request(key, ttl, true, sharing);
    const answer = await this.ask(request);
    assert.ok(answer.state === 'waiting', `should queue for ${key}, but is ${answer.state}`);
    const granted = answer.granted.then((grant) => {
      this.#tokens.set(request.id, grant.token);
      return grant;
    });
    // Whoever waits for it hears of it; a place that is given up has none.
    granted.catch(() => undefined);
    return {
      request,
      grant: (ms = SOON) => soon(`the grant of ${key}`, granted, ms),
    };
  }

  /** Takes a lock when its turn comes, which may be at once. */
  async takeInTurn(key: string): Promise<{ readonly request: LockRequest }> {
    const request = this.request(key, LONG, true);
    const answer = await this.ask(request);
    if (answer.state === 'waiting') await soon(`the grant of ${key}`, answer.granted);
    return { request };
  }

  /** Whether a request that does not queue would be refused. Takes nothing. */
  async findsBusy(key: string, ms?: number, sharing?: Sharing): Promise<boolean> {
    const request = this.request(key, LONG, false, sharing);
    const { state } = await this.ask(request, ms);
    if (state === 'granted') await this.connection.release(request, 0);
    return state === 'busy';
  }

  release(
    { request }: { readonly request: LockRequest },
    ms = SOON,
    keepFor = 0,
  ): Promise<boolean> {
    return soon(`the release of ${request.key}`, this.connection.release(request, keepFor), ms);
  }

  downgrade({ request }: { readonly request: LockRequest }): Promise<boolean> {
    return soon(`the downgrade of ${request.key}`, this.connection.downgrade(request));
  }

  cancel({ request }: { readonly request: LockRequest }): Promise<void> {
    return soon(`the withdrawal from ${request.key}`, this.connection.cancel(request));
  }

  /** Renews leases in one call, with the given ttl or that of each. */
  async renew(
    leases: readonly { readonly request: LockRequest }[],
    ttl?: number,
  ): Promise<(boolean | Error)[]> {
    const renewals = leases.map(({ request: { id, key, ttl: own, mode, limit } }) => ({
      id,
      key,
      token: this.#tokens.get(id) ?? 0,
      ttl: ttl ?? own,
      mode,
      limit,
    }));
    return [...(await soon('a renewal', this.connection.renew(renewals)))];
  }

  /** Goes away without a word, as far as its locks are concerned. */
  close(): Promise<void> {
    return (this.#closed ??= soon('the end of a connection', this.connection.close()));
  }
}

/** The same connection, with somebody who hears what is asked of it. */
function listening(
  connection: BackendConnection,
  hear: (request: LockRequest) => void,
): BackendConnection {
  const acquireAll = connection.acquireAll?.bind(connection);
  return {
    troubleWith: (key) => connection.troubleWith(key),
    acquire(request) {
      hear(request);
      return connection.acquire(request);
    },
    acquireAll:
      acquireAll &&
      ((requests) => {
        for (const request of requests) hear(request);
        return acquireAll(requests);
      }),
    cancel: (request) => connection.cancel(request),
    renew: (leases) => connection.renew(leases),
    release: (lease, keepFor) => connection.release(lease, keepFor),
    downgrade: (lease) => connection.downgrade(lease),
    inspect: (key) => connection.inspect(key),
    list: (pattern) => connection.list(pattern),
    revoke: (key, revocation) => connection.revoke(key, revocation),
    forceRelease: (key) => connection.forceRelease(key),
    close: () => connection.close(),
  };
}
