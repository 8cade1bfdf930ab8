import type { KeyState, WaiterState } from '../backends/lock-backend.js';
import { LockReentrancyError, LockTimeoutError } from '../errors/index.js';
import type {
  LockMode,
  LockState,
  WebLock,
  WebLockGrantedCallback,
  WebLockInfo,
  WebLockManager,
  WebLockManagerSnapshot,
  WebLockOptions,
} from '../interfaces/index.js';
import type { HeldLock } from '../lock/lock-context.js';
import type { LockHandle } from '../lock/lock-handle.js';
import { processIdOf } from '../lock/owner.js';
import { broken } from './dom-exceptions.js';
import { type Place, RequestOrder } from './request-order.js';
import { type Theft, Thefts } from './thefts.js';
import { readRequest, type WebLockRequest } from './web-lock-request.js';

export interface TakeOptions {
  readonly mode: LockMode;
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
  /** Called when it is known that others hold the lock. */
  readonly whenWaiting: () => void;
}

export interface WebLocksContext {
  /** A lock of its own, whatever the context of the caller holds. */
  take(key: string, options: TakeOptions): Promise<LockHandle>;
  /** The lock of this key that this async context runs under. */
  current(key: string): HeldLock | undefined;
  runUnder<T>(lock: LockHandle, body: () => Promise<T> | T): Promise<T>;
  forceRelease(key: string): Promise<number>;
  inspect(key: string): Promise<LockState>;
  /** The keys that are held, as the store has them. */
  held(): AsyncIterable<readonly [key: string, state: KeyState]>;
  /** The requests of this process that wait now, also those of which the store knows nothing. */
  waiting(): Iterable<readonly [key: string, waiter: Pick<WaiterState, 'id' | 'mode'>]>;
}

/** The locks of one service, asked for as `navigator.locks` is. */
export class WebLocks implements WebLockManager {
  readonly #order = new RequestOrder();
  readonly #thefts = new Thefts();

  readonly #context: WebLocksContext;

  constructor(context: WebLocksContext) {
    this.#context = context;
  }

  request<T>(name: string, callback: WebLockGrantedCallback<T>): Promise<Awaited<T>>;
  request<T>(
    name: string,
    options: WebLockOptions,
    callback: WebLockGrantedCallback<T>,
  ): Promise<Awaited<T>>;
  async request<T>(...args: unknown[]): Promise<Awaited<T>> {
    const request = readRequest<Awaited<T>>(args);
    const { name, mode, steal } = request;
    const place = this.#order.join(name, mode);
    const theft = steal ? this.#thefts.begin(name, place.there) : undefined;
    try {
      // Up to here nothing was awaited: requests stand in the queue in the order in which they are made.
      const lock = await (theft ? this.#steal(name, place, theft) : this.#take(request, place));
      if (lock === undefined) {
        place.leave();
        return await request.callback(null);
      }
      await place.turn();
      return await this.#hold(lock, request, place);
    } finally {
      place.leave();
      theft?.end();
    }
  }

  async query(): Promise<WebLockManagerSnapshot> {
    // The store has heard of all that was asked by now.
    await this.#order.there;
    // A key that changes hands meanwhile may be listed twice.
    const states = new Map<string, KeyState>();
    for await (const [key, state] of this.#context.held()) states.set(key, state);
    const snapshot: WebLockManagerSnapshot = { held: [], pending: [] };
    const seen = new Set<string>();
    for (const [name, { holders, queue }] of states) {
      snapshot.held.push(...holders.map((holder) => infoOf(name, holder)));
      snapshot.pending.push(...queue.map((waiter) => infoOf(name, waiter)));
      for (const { id } of [...holders, ...queue]) seen.add(id);
    }
    for (const [name, waiter] of this.#context.waiting()) {
      if (!seen.has(waiter.id)) snapshot.pending.push(infoOf(name, waiter));
    }
    return snapshot;
  }

  /** Undefined when `ifAvailable` finds it held. */
  async #take(
    { name, mode, ifAvailable, signal }: WebLockRequest<unknown>,
    place: Place,
  ): Promise<LockHandle | undefined> {
    if (!ifAvailable) this.#refuseToWaitForItself(name, mode);
    const theft = this.#thefts.last(name);
    if (theft !== undefined) await theft;
    const wait = ifAvailable ? 0 : Infinity;
    const whenWaiting = () => {
      place.wait();
    };
    try {
      return await this.#context.take(name, { mode, wait, signal, whenWaiting });
    } catch (error) {
      if (ifAvailable && error instanceof LockTimeoutError) return undefined;
      throw error;
    }
  }

  #refuseToWaitForItself(name: string, mode: LockMode): void {
    const outer = this.#context.current(name);
    const isReader = outer?.mode === 'shared';
    if (outer?.held !== true || (isReader && mode === 'shared')) return;
    throw new LockReentrancyError(name, isReader);
  }

  /**
   * All that was asked before is at the store by then, so that it breaks what it is to break; and nobody
   * who asks later passes it. The last of several thieves has the lock in the end.
   */
  async #steal(name: string, place: Place, theft: Theft): Promise<LockHandle> {
    // It may have been broken by the first time already, and this process not have heard of that.
    const breakAgain = async (served: LockHandle) => {
      const { holders } = await this.#context.inspect(name);
      const holds = holders.some(({ fencingToken }) => fencingToken === served.fencingToken);
      if (holds) await this.#context.forceRelease(name);
    };
    await place.before;
    await this.#context.forceRelease(name);
    const lock = await this.#context.take(name, {
      mode: 'exclusive',
      wait: Infinity,
      signal: undefined,
      whenWaiting: () => {
        place.wait();
        theft.waits(breakAgain);
      },
    });
    theft.holds(lock);
    return lock;
  }

  async #hold<T>(
    lock: LockHandle,
    { name, mode, signal, callback }: WebLockRequest<T>,
    place: Place,
  ): Promise<T> {
    const running = this.#context.runUnder(lock, async () => {
      // Granted, but not told yet: for the caller it was aborted while it waited.
      signal?.throwIfAborted();
      const webLock: WebLock = Object.freeze({ name, mode });
      place.leave();
      return callback(webLock);
    });
    await Promise.race([running, whenLost(lock)]);
    if (lock.lost !== undefined) throw broken(lock.lost);
    return running;
  }
}

/** Resolves when the lock is lost, however long its callback still runs. */
function whenLost(lock: LockHandle): Promise<void> {
  return new Promise((resolve) => {
    lock.onLost(resolve);
  });
}

function infoOf(name: string, { id, mode }: Pick<WaiterState, 'id' | 'mode'>): WebLockInfo {
  return { name, mode, clientId: processIdOf(id) };
}
