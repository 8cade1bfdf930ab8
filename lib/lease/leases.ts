import type { Answer, BackendConnection, Grant, LockRequest } from '../backends/lock-backend.js';
import type { LockError } from '../errors/index.js';
import { LockBackendError, LockShutdownError, LockTimeoutError } from '../errors/index.js';
import { Deadline, pause, within } from '../clock.js';
import { messageOf } from '../errors/shown.js';
import { Lease, type ReleaseOutcome } from './lease.js';
import { Line } from './line.js';
import { Renewer } from './renewer.js';
import { Waiter, type Wish } from './waiter.js';

/** The one attempt of `wait: 0` may take this long at a backend that hangs, in milliseconds. */
const ATTEMPT_PATIENCE = 2_000;

/** Who releases waits this long for a backend that hangs, in milliseconds; then we go on alone. */
const RELEASE_PATIENCE = 2_000;

/** Between two tries of a release that was not answered, in milliseconds. */
const RELEASE_RETRY = 100;

export interface LeasesContext {
  readonly processId: string;
  readonly backendName: string;
  readonly connection: BackendConnection;
  warn(message: string): void;
}

/** Every lease that this process holds or waits for at one backend. */
export class Leases {
  readonly #connection: BackendConnection;
  readonly #renewer: Renewer;
  readonly #lines = new Map<string, Line>();
  readonly #waiting = new Set<Waiter>();
  /** By request id. */
  readonly #held = new Map<string, Lease>();
  /** What is still under way at the backend and nobody waits for. */
  readonly #background = new Set<Promise<unknown>>();
  #counter = 0;
  #closing = false;
  #closed = false;
  #whenAllReleased: () => void = () => undefined;

  constructor(private readonly context: LeasesContext) {
    this.#connection = context.connection;
    this.#renewer = new Renewer(context.connection);
  }

  /**
   * Resolves with a lease that is valid, or rejects with LockTimeoutError (busy), LockBackendError
   * (not reached), LockShutdownError, or the reason of the caller's signal.
   */
  acquire(wish: Wish): Promise<Lease> {
    return new Promise((resolve, reject) => {
      if (this.#closing) throw new LockShutdownError(wish.key);
      wish.signal?.throwIfAborted();

      const once = wish.wait === 0;
      const line = once ? new Line() : this.#lineOf(wish.key);
      const waiter = new Waiter(wish, line, resolve, reject);
      line.join(waiter);
      this.#waiting.add(waiter);
      waiter.bound(
        once ? ATTEMPT_PATIENCE : wish.wait,
        () => {
          this.#giveUp(waiter, this.#outOfTime(waiter));
        },
        (reason) => {
          this.#giveUp(waiter, reason);
        },
      );
      if (line.first === waiter) void this.#ask(waiter);
    });
  }

  /** Gives a lease back once its last holder does. Never rejects. */
  async release(lease: Lease): Promise<ReleaseOutcome> {
    if (!lease.leave()) return lease.lost?.reason ?? 'released';
    let outcome: ReleaseOutcome;
    if (lease.lost === undefined) {
      outcome = await this.#release(lease);
    } else {
      outcome = lease.lost.reason;
      // What is left of it at the backend would only keep others waiting.
      this.#inBackground(() => this.#connection.release(lease));
    }
    this.#held.delete(lease.id);
    if (this.#held.size === 0) this.#whenAllReleased();
    return outcome;
  }

  /** The backend ended a lease before its time. */
  lose(id: string): void {
    this.#held.get(id)?.lose('stolen');
  }

  /**
   * Refuses new callers, ends the waiting ones, asks the holders to finish and gives them `grace`
   * milliseconds, then releases what is still held. Afterwards nothing of ours is at the backend,
   * unless it cannot be reached.
   */
  async shutdown(grace: number): Promise<void> {
    this.#closing = true;
    for (const waiter of this.#waiting)
      this.#giveUp(waiter, new LockShutdownError(waiter.wish.key));
    for (const lease of this.#held.values()) lease.notify('shutdown');
    if (this.#held.size > 0) {
      await within(
        grace,
        new Promise<void>((resolve) => {
          this.#whenAllReleased = resolve;
        }),
      );
    }
    for (const lease of this.#held.values()) {
      lease.lose('shutdown');
      this.#inBackground(() => this.#connection.release(lease));
    }
    await within(RELEASE_PATIENCE, Promise.all(this.#background));
    this.#closed = true;
  }

  #lineOf(key: string): Line {
    let line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, (line = new Line()));
    return line;
  }

  async #ask(waiter: Waiter): Promise<void> {
    const { key, ttl, wait } = waiter.wish;
    const id = `${this.context.processId}:${++this.#counter}`;
    const request = { id, key, ttl, queue: wait > 0 };
    waiter.request = request;
    try {
      this.#hear(waiter, request, await this.#connection.acquire(request));
    } catch (error) {
      this.#refused(waiter, error);
    }
  }

  #hear(waiter: Waiter, request: LockRequest, answer: Answer): void {
    waiter.line.answers++;
    if (answer.state === 'granted') {
      this.#grant(waiter, request, answer);
    } else if (answer.state === 'busy') {
      waiter.request = undefined;
      this.#giveUp(waiter, new LockTimeoutError(request.key, waiter.wish.wait));
    } else {
      if (!waiter.settled) waiter.line.queued = true;
      answer.granted.then(
        (grant) => {
          this.#grant(waiter, request, grant);
        },
        (error: unknown) => {
          this.#refused(waiter, error);
        },
      );
    }
  }

  #grant(waiter: Waiter, request: LockRequest, grant: Grant): void {
    if (waiter.settled) {
      this.#inBackground(() => this.#connection.cancel(request));
      return;
    }
    const lease = new Lease(request, grant, waiter.wish, this.#renewer);
    if (!lease.held) {
      const late = `${this.context.backendName} took longer than the ttl of ${request.ttl} ms to grant it`;
      this.#giveUp(waiter, new LockBackendError(`Lock "${request.key}": ${late}`, request.key));
      return;
    }
    this.#held.set(lease.id, lease);
    this.#leave(waiter);
    waiter.grant(lease);
  }

  #refused(waiter: Waiter, error: unknown): void {
    this.#giveUp(waiter, this.#unreached(waiter, error));
  }

  #giveUp(waiter: Waiter, reason: unknown): void {
    if (waiter.settled) return;
    waiter.fail(reason);
    const { request } = waiter;
    if (request !== undefined) this.#inBackground(() => this.#connection.cancel(request));
    this.#leave(waiter);
  }

  /** The next caller of the line takes the place at the backend. */
  #leave(waiter: Waiter): void {
    const { line } = waiter;
    this.#waiting.delete(waiter);
    line.leave(waiter);
    const next = line.first;
    if (next === undefined) {
      if (this.#lines.get(waiter.wish.key) === line) this.#lines.delete(waiter.wish.key);
    } else if (next.request === undefined && !this.#closing) {
      void this.#ask(next);
    }
  }

  #outOfTime(waiter: Waiter): LockError {
    const trouble = this.#connection.troubleWith(waiter.wish.key);
    return waiter.heardBusy && trouble === undefined
      ? new LockTimeoutError(waiter.wish.key, waiter.wish.wait)
      : this.#unreached(waiter, trouble);
  }

  #unreached(waiter: Waiter, cause: unknown): LockBackendError {
    const { key, wait } = waiter.wish;
    const backend = `the ${this.context.backendName} backend`;
    let why = `${backend} did not answer within ${wait || ATTEMPT_PATIENCE} ms`;
    if (cause instanceof LockBackendError) why = cause.message;
    else if (cause !== undefined) why = `${backend} failed: ${messageOf(cause)}`;
    return new LockBackendError(`Lock "${key}" was not granted: ${why}`, key, { cause });
  }

  async #release(lease: Lease): Promise<ReleaseOutcome> {
    const release = this.#insistOnRelease(lease);
    this.#inBackground(() => release);
    const outcome = (await within(RELEASE_PATIENCE, release)) ?? 'unconfirmed';
    if (outcome === 'stolen') lease.endedAsStolen();
    if (outcome === 'unconfirmed') {
      this.context.warn(
        `The release of lock "${lease.key}" was not confirmed by ${this.context.backendName}; ` +
          `others may have to wait until its ttl of ${lease.ttl} ms is over.`,
      );
    }
    return outcome;
  }

  /** Tries until it is answered, or until the lease must have ended by itself. */
  async #insistOnRelease(lease: Lease): Promise<ReleaseOutcome> {
    const pointless = Deadline.in(lease.ttl);
    let unanswered = false;
    while (!pointless.passed && !this.#closed) {
      try {
        // After a try whose answer was lost, "not yours" is most likely the work of that try.
        const released = (await this.#connection.release(lease)) || unanswered;
        return released ? 'released' : 'stolen';
      } catch {
        unanswered = true;
        await pause(RELEASE_RETRY);
      }
    }
    return 'unconfirmed';
  }

  #inBackground(work: () => Promise<unknown>): void {
    if (this.#closed) return;
    const settled = Promise.resolve()
      .then(work)
      .catch(() => undefined)
      .finally(() => {
        this.#background.delete(settled);
      });
    this.#background.add(settled);
  }
}
