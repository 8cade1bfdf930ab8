import type { HolderState, KeyState, WaiterState } from '../backends/lock-backend.js';
import { within } from '../clock.js';
import { LockReentrancyError, LockTimeoutError } from '../errors/index.js';
import type {
  LockMode,
  WebLock,
  WebLockGrantedCallback,
  WebLockInfo,
  WebLockManager,
  WebLockManagerSnapshot,
  WebLockOptions,
} from '../interfaces/index.js';
import { type HeldLock, outsideOfLocks } from '../lock-context.js';
import type { LockHandle } from '../lock-handle.js';
import { processIdOf } from '../owner.js';
import { broken } from './dom-exceptions.js';
import { readRequest, type WebLockRequest } from './web-lock-request.js';

/** A theft may keep the next one of the same name waiting for so long, in milliseconds. */
const LONGEST_THEFT = 1_000;

export interface TakeOptions {
  readonly mode: LockMode;
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
}

export interface WebLocksContext {
  take(key: string, options: TakeOptions): Promise<LockHandle>;
  /** The lock of this key that this async context runs under. */
  current(key: string): HeldLock | undefined;
  runUnder<T>(lock: LockHandle, body: () => Promise<T> | T): Promise<T>;
  forceRelease(key: string): Promise<number>;
  /** The keys that are held, as the store has them. */
  held(): AsyncIterable<readonly [key: string, state: KeyState]>;
}

/** The locks of one service, asked for as `navigator.locks` is. */
export class WebLocks implements WebLockManager {
  /** By name, what the next theft has to wait for. */
  readonly #thefts = new Map<string, Promise<unknown>>();

  constructor(private readonly context: WebLocksContext) {}

  request<T>(name: string, callback: WebLockGrantedCallback<T>): Promise<Awaited<T>>;
  request<T>(
    name: string,
    options: WebLockOptions,
    callback: WebLockGrantedCallback<T>,
  ): Promise<Awaited<T>>;
  async request<T>(...args: unknown[]): Promise<Awaited<T>> {
    const request = readRequest<Awaited<T>>(args);
    // Up to here nothing was awaited: requests stand in the queue in the order in which they are made.
    const lock = await this.#take(request);
    return lock === undefined ? request.callback(null) : this.#hold(lock, request);
  }

  async query(): Promise<WebLockManagerSnapshot> {
    // A key that changes hands meanwhile may be listed twice.
    const states = new Map<string, KeyState>();
    for await (const [key, state] of this.context.held()) states.set(key, state);
    const snapshot: WebLockManagerSnapshot = { held: [], pending: [] };
    for (const [name, { holders, queue }] of states) {
      snapshot.held.push(...holders.map((holder) => infoOf(name, holder)));
      snapshot.pending.push(...queue.map((waiter) => infoOf(name, waiter)));
    }
    return snapshot;
  }

  /** Undefined when `ifAvailable` finds it held. */
  async #take({
    name,
    mode,
    ifAvailable,
    steal,
    signal,
  }: WebLockRequest<unknown>): Promise<LockHandle | undefined> {
    if (steal) return this.#steal(name);
    if (!ifAvailable) {
      this.#refuseToWaitForItself(name, mode);
      return this.#takeAnew(name, { mode, wait: Infinity, signal });
    }
    try {
      return await this.#takeAnew(name, { mode, wait: 0, signal });
    } catch (error) {
      if (error instanceof LockTimeoutError) return undefined;
      throw error;
    }
  }

  /** Each request has a lock of its own, whatever its context holds. */
  #takeAnew(name: string, options: TakeOptions): Promise<LockHandle> {
    return outsideOfLocks(() => this.context.take(name, options));
  }

  #refuseToWaitForItself(name: string, mode: LockMode): void {
    const outer = this.context.current(name);
    const isReader = outer?.mode === 'shared';
    if (outer?.held !== true || (isReader && mode === 'shared')) return;
    throw new LockReentrancyError(name, isReader);
  }

  /**
   * One theft after the other, so that the last of them has the lock in the end: one that breaks it
   * before the theft ahead has taken it would break nothing.
   */
  #steal(name: string): Promise<LockHandle> {
    const ahead = this.#thefts.get(name);
    const theft = this.#stealAfter(ahead, name);
    const forget = () => {
      if (this.#thefts.get(name) === over) this.#thefts.delete(name);
    };
    const over: Promise<void> = within(LONGEST_THEFT, theft).then(forget, forget);
    this.#thefts.set(name, over);
    return theft;
  }

  async #stealAfter(ahead: Promise<unknown> | undefined, name: string): Promise<LockHandle> {
    await ahead;
    await this.context.forceRelease(name);
    return this.#takeAnew(name, { mode: 'exclusive', wait: Infinity, signal: undefined });
  }

  async #hold<T>(
    lock: LockHandle,
    { name, mode, signal, callback }: WebLockRequest<T>,
  ): Promise<T> {
    const running = this.context.runUnder(lock, async () => {
      // Granted, but not told yet: for the caller it was aborted while it waited.
      signal?.throwIfAborted();
      const webLock: WebLock = Object.freeze({ name, mode });
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

function infoOf(name: string, { id, mode }: HolderState | WaiterState): WebLockInfo {
  return { name, mode, clientId: processIdOf(id) };
}
