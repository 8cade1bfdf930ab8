import type {
  BackendConnection,
  Grant,
  LockRequest,
  Revocation,
} from '../backends/lock-backend.js';
import { LockBackendError, type LockLostError, LockShutdownError } from '../errors/index.js';
import type { ReleaseOutcome } from '../interfaces/index.js';
import { ByKey } from '../structures/by-key.js';
import { Chain } from '../structures/chain.js';
import type { Reporter } from '../telemetry/reporter.js';
import { Asker } from './asker.js';
import { HeldLeases } from './held-leases.js';
import { Lease, type LeaseHolding } from './lease.js';
import { Line } from './line.js';
import { Releases } from './releases.js';
import { Renewer } from './renewer.js';
import { validUntil } from './validity.js';
import { Waiter, type GiveUp, type HeldByCaller, type Wish } from './waiter.js';

export interface LeasesContext {
  readonly processId: string;
  readonly backendName: string;
  readonly connection: BackendConnection;
  warn(message: string): void;
  readonly reporter: Reporter;
}

/** Every lease that this process holds or waits for at one backend. */
export class Leases {
  readonly #connection: BackendConnection;
  readonly #asker: Asker;
  readonly #renewer: Renewer;
  readonly #releases: Releases;
  readonly #lines = new ByKey(
    () => new Line<Waiter>(),
    (line) => line.length > 0 || line.lease !== undefined,
  );
  readonly #waiting = new Chain<Waiter>();
  readonly #held = new HeldLeases();
  /** Who is let in: everybody, only those who hold a lock, nobody. */
  #open: 'to all' | 'to holders' | 'to nobody' = 'to all';

  constructor(private readonly context: LeasesContext) {
    this.#connection = context.connection;
    this.#asker = new Asker({
      ...context,
      granted: (waiter, request, grant) => {
        this.#grant(waiter, request, grant);
      },
      refused: (waiter, reason) => {
        this.#giveUp(waiter, reason);
      },
    });
    this.#renewer = new Renewer(context.connection, context.reporter);
    this.#releases = new Releases(context);
  }

  /**
   * Resolves with what `handle` makes of a holding that is valid, or rejects with LockTimeoutError (busy), LockBackendError
   * (not reached), LockShutdownError, or the reason of the caller's signal.
   *
   * @param outer the lock that the caller runs under
   */
  acquire<T>(
    key: string,
    wish: Wish,
    handle: (holding: LeaseHolding) => T,
    outer?: HeldByCaller,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.letsIn(outer)) throw new LockShutdownError(key);
      wish.signal?.throwIfAborted();

      this.#lines.sweep();
      const line = wish.wait === 0 ? new Line<Waiter>() : this.#lines.of(key);
      const granted = (holding: LeaseHolding) => {
        resolve(handle(holding));
      };
      const waiter = new Waiter(key, wish, line, granted, reject, outer);
      const asking = line.join(waiter);
      if (line.first === waiter) this.#moveUp(line);
      for (const one of asking) if (one.request === undefined && !one.settled) this.#asker.ask(one);
      if (waiter.settled) return;
      waiter.presence = this.#waiting.add(waiter);
      this.#bound(waiter);
      if (waiter.request === undefined) wish.whenWaiting?.(key);
    });
  }

  /** The callers that wait, in the order in which they came. */
  get waiting(): Iterable<Waiter> {
    return this.#waiting;
  }

  /**
   * One attempt at several keys, in one step of the backend's: all of them settle alike. Undefined
   * when it has no such step.
   */
  acquireAll<T>(
    keys: readonly string[],
    wish: Wish,
    handle: (holding: LeaseHolding) => T,
    outer?: HeldByCaller,
  ): Promise<T>[] | undefined {
    const acquireAll = this.#connection.acquireAll?.bind(this.#connection);
    if (acquireAll === undefined || !this.letsIn(outer) || wish.signal?.aborted) return undefined;
    const waiters: Waiter[] = [];
    const granted = keys.map(
      (key) =>
        new Promise<T>((resolve, reject) => {
          const settle = (holding: LeaseHolding) => {
            resolve(handle(holding));
          };
          const waiter = new Waiter(key, wish, new Line<Waiter>(), settle, reject, outer);
          waiters.push(waiter);
          waiter.line.join(waiter);
          waiter.presence = this.#waiting.add(waiter);
          this.#bound(waiter);
        }),
    );
    this.#asker.askAll(waiters, acquireAll);
    return granted;
  }

  /** Gives a lease back once its last holder does, or hands it over to the next caller. Never rejects. */
  release(holding: LeaseHolding): ReleaseOutcome | Promise<ReleaseOutcome> {
    if (!holding.leave()) return holding.lost?.reason ?? 'released';
    const { lease, lost } = holding;
    const line = this.#lines.find(lease.key);
    if (line?.lease === lease) {
      const next = line.first;
      if (next !== undefined && next.request === undefined && lease.mayPassTo(next.wish)) {
        this.#leave(next);
        next.grant(lease.passTo(next.wish));
        return 'released';
      }
      line.forget();
    }
    lease.end();
    this.#held.letGo(lease);
    if (lost !== undefined) this.#releases.abandon(lease);
    const outcome = lost?.reason ?? this.#releases.release(holding);
    // Behind the release, so that both go as one request.
    if (line !== undefined) this.#moveUp(line);
    return outcome;
  }

  /**
   * The token of who holds a key now, where the store says only with which token the lease came that
   * was handed over within this process since.
   */
  presentToken(key: string, granted: number): number {
    const lease = this.#lines.find(key)?.lease;
    return lease?.gave(granted) ? lease.holding.token : granted;
  }

  /**
   * Lets others read beside the holder, who keeps its token.
   * @throws LockLostError when the lock is gone; LockBackendError when the backend did not answer
   */
  async downgrade(holding: LeaseHolding): Promise<void> {
    const { lease } = holding;
    holding.assertHeld();
    const line = this.#lines.find(lease.key);
    if (line?.lease === lease) line.forget();
    lease.becomeShared();
    if (line !== undefined) this.#moveUp(line);
    let downgraded: boolean;
    try {
      downgraded = await this.#connection.downgrade(lease);
    } catch (error) {
      holding.assertHeld();
      throw new LockBackendError(`Lock "${lease.key}" could not be downgraded`, lease.key, {
        cause: error,
      });
    }
    if (downgraded) lease.downgraded();
    else lease.notOwned();
    holding.assertHeld();
  }

  /** Somebody asks for a lease of this process. */
  revoke(id: string, revocation: Revocation): void {
    const holding = this.#held.find(id)?.holding;
    if (holding?.revoke(revocation) === true) this.context.reporter.revoked(holding, revocation);
  }

  /** The backend ended a lease before its time. */
  lose(id: string, token = Infinity): void {
    const lease = this.#held.find(id);
    if (lease?.isSince(token) === false) lease.lose('stolen');
  }

  /** Whether a caller is heard who runs under that lock. */
  letsIn(outer: HeldByCaller | undefined): boolean {
    if (this.#open === 'to holders') return outer?.released === false;
    return this.#open === 'to all';
  }

  /** What is held. */
  get held(): HeldLeases {
    return this.#held;
  }

  /**
   * Asks the holders to finish. From now on only they are let in, to what they need for that: all others
   * are refused, also those who wait already.
   */
  drain(): void {
    if (this.#open !== 'to all') return;
    this.#open = 'to holders';
    this.#refuse([...this.#waiting].filter(({ isHolders }) => !isHolders));
    for (const holding of this.#held.holdings) holding.notify('shutdown');
  }

  /**
   * Lets nobody in any more, and releases what is still held. Afterwards nothing of ours is at the
   * backend, unless it cannot be reached.
   */
  async close(): Promise<void> {
    this.#open = 'to nobody';
    this.#refuse([...this.#waiting]);
    for (const { lease } of this.#held.holdings) lease.lose('shutdown');
    for (const lease of this.#held.lingering) {
      this.#held.letGo(lease);
      this.#releases.abandon(lease);
    }
    this.#renewer.close();
    await this.#releases.close();
  }

  /** All at once: no one of them is to stand at the backend for the one before. */
  #refuse(waiters: readonly Waiter[]): void {
    for (const waiter of waiters) this.#fail(waiter, new LockShutdownError(waiter.key));
    for (const { line } of waiters) this.#moveUp(line);
  }

  /** Whatever its signal does: once asked for, nothing is left behind at the backend. */
  #bound(waiter: Waiter): void {
    try {
      waiter.bound(this.#outOfPatience);
    } catch (error) {
      this.#giveUp(waiter, error);
    }
  }

  readonly #outOfPatience: GiveUp = (waiter, aborted) => {
    this.#giveUp(waiter, aborted === undefined ? this.#asker.outOfTime(waiter) : aborted.reason);
  };

  /** Sees to the first of a line: whether it waits for a lease of ours, or asks the backend. */
  #moveUp(line: Line<Waiter>): void {
    const { first, lease } = line;
    if (first === undefined) return;
    const mayPass = lease?.mayPassTo(first.wish);
    // Whoever heard just now that the lease is lost may have given it back, and so moved up the line.
    if (first.request !== undefined || first.settled) return;
    if (mayPass === true && lease !== undefined) {
      line.whenPassedBy(lease, () => {
        this.#moveUp(line);
      });
    } else {
      this.#asker.ask(first);
    }
  }

  #grant(waiter: Waiter, request: LockRequest, grant: Grant): void {
    if (waiter.settled) {
      this.#releases.withdraw(request);
      return;
    }
    const validity = validUntil(grant.since, grant.ttl);
    if (validity.passed) {
      const late = `${this.context.backendName} took longer than the ttl of ${request.ttl} ms to grant it`;
      this.#giveUp(waiter, new LockBackendError(`Lock "${request.key}": ${late}`, request.key));
      return;
    }
    const lease = new Lease(request, grant, validity, waiter.wish, this.#renewer, this.#whenLost);
    if (waiter.queued) lease.holding.handoff = 'remote';
    this.#held.add(lease);
    if (lease.passableFor > 0) waiter.line.lease = lease;
    this.#leave(waiter);
    waiter.grant(lease.holding);
  }

  readonly #whenLost = (lease: Lease, why: LockLostError): void => {
    this.context.reporter.lost(lease.holding, why);
    this.#held.linger(lease);
    const line = this.#lines.find(lease.key);
    if (line?.lease === lease) {
      line.forget();
      // Its holder may go on for long.
      this.#moveUp(line);
    }
  };

  #giveUp(waiter: Waiter, reason: unknown): void {
    if (waiter.settled) return;
    this.#fail(waiter, reason);
    this.#moveUp(waiter.line);
  }

  #fail(waiter: Waiter, reason: unknown): void {
    waiter.fail(reason);
    const { request } = waiter;
    if (request !== undefined) this.#releases.withdraw(request);
    this.#standDown(waiter);
  }

  #leave(waiter: Waiter): void {
    this.#standDown(waiter);
    this.#moveUp(waiter.line);
  }

  #standDown(waiter: Waiter): void {
    if (waiter.presence !== undefined) this.#waiting.remove(waiter.presence);
    waiter.line.leave(waiter);
  }
}
