import {
  type Answer,
  type BackendConnection,
  type Busy,
  type BusyKey,
  type Grant,
  isAlone,
  type LockRequest,
} from '../backends/lock-backend.js';
import {
  LockBackendError,
  LockConfigurationError,
  type LockError,
  LockTimeoutError,
} from '../errors/index.js';
import { messageOf } from '../text/shown.js';
import { limitConflict } from './limit-conflict.js';
import type { Waiter } from './waiter.js';
import { whenAnswered } from './when-answered.js';

/** For so many hand-overs within the process tokens are reserved with a grant, if so many callers wait. */
const MOST_RESERVED = 64;

export interface AskerContext {
  readonly processId: string;
  readonly backendName: string;
  readonly connection: BackendConnection;
  readonly granted: (waiter: Waiter, request: LockRequest, grant: Grant) => void;
  /** It is not granted: for others have it, or it could not be asked for. */
  readonly refused: (waiter: Waiter, reason: LockError) => void;
}

/** Asks the backend on behalf of callers, and says in our words what it answers. */
export class Asker {
  #counter = 0;

  constructor(private readonly context: AskerContext) {}

  ask(waiter: Waiter): void {
    const request = this.#requestOf(waiter);
    whenAnswered(
      () => this.context.connection.acquire(request),
      (answer) => {
        this.#hear(waiter, request, answer);
      },
      (error) => {
        this.#refused(waiter, error);
      },
    );
  }

  /** All of them in one step of the backend's. */
  askAll(
    waiters: readonly Waiter[],
    acquireAll: NonNullable<BackendConnection['acquireAll']>,
  ): void {
    const requests = waiters.map((waiter) => this.#requestOf(waiter));
    whenAnswered(
      () => acquireAll(requests),
      (answer) => {
        waiters.forEach((waiter, index) => {
          const [request, own] = [requests[index], 'key' in answer ? answer : answer[index]];
          if (request === undefined || own === undefined) return;
          this.#hear(waiter, request, own);
        });
      },
      (error) => {
        for (const waiter of waiters) this.#refused(waiter, error);
      },
    );
  }

  /** Why a caller has no answer when its time is over. */
  outOfTime(waiter: Waiter): LockError {
    const trouble = this.context.connection.troubleWith(waiter.key);
    return waiter.heardBusy && trouble === undefined
      ? new LockTimeoutError(waiter.key, waiter.wish.wait)
      : this.#unreached(waiter, trouble);
  }

  #requestOf(waiter: Waiter): LockRequest {
    const { key, line } = waiter;
    const { ttl, wait, mode, limit, traceparent } = waiter.wish;
    const { processId } = this.context;
    const asker = traceparent === undefined ? processId : `${processId}:${traceparent}`;
    const id = `${asker}:${++this.#counter}`;
    const reserve = isAlone(waiter.wish) ? Math.min(line.length - 1, MOST_RESERVED) : 0;
    waiter.request = { id, key, ttl, queue: wait > 0, reserve, mode, limit };
    return waiter.request;
  }

  #hear(waiter: Waiter, request: LockRequest, answer: Answer | BusyKey): void {
    waiter.line.answers++;
    if (answer.state === 'granted') {
      this.context.granted(waiter, request, answer);
    } else if (answer.state === 'busy') {
      waiter.request = undefined;
      this.context.refused(waiter, this.#busy(waiter, request, answer));
    } else {
      if (!waiter.settled) {
        waiter.queued = true;
        waiter.line.queued = true;
        waiter.wish.whenWaiting?.(waiter.key);
      }
      answer.granted.then(
        (grant) => {
          this.context.granted(waiter, request, grant);
        },
        (error: unknown) => {
          this.#refused(waiter, error);
        },
      );
    }
  }

  #busy({ wish }: Waiter, request: LockRequest, answer: Busy | BusyKey): LockError {
    const key = 'key' in answer ? answer.key : request.key;
    // With another limit it is to be had by waiting, and only so: who does not is told.
    if (answer.limit === undefined || wish.waitsThen) return new LockTimeoutError(key, wish.wait);
    return limitConflict(key, request.limit, answer.limit);
  }

  #refused(waiter: Waiter, error: unknown): void {
    // The caller's own mistake.
    const reason = error instanceof LockConfigurationError ? error : this.#unreached(waiter, error);
    this.context.refused(waiter, reason);
  }

  #unreached(waiter: Waiter, cause: unknown): LockBackendError {
    const { key, longest } = waiter;
    const backend = `the ${this.context.backendName} backend`;
    let why = `${backend} did not answer within ${longest} ms`;
    if (cause instanceof LockBackendError) why = cause.message;
    else if (cause !== undefined) why = `${backend} failed: ${messageOf(cause)}`;
    return new LockBackendError(`Lock "${key}" was not granted: ${why}`, key, { cause });
  }
}
