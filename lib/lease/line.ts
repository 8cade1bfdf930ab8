import type { Waiter } from './waiter.js';

/**
 * The callers of this process that wait for one key, in the order in which they came. Only the
 * first stands in the backend's queue: a process costs the backend one waiter a key, however many
 * callers it has.
 */
export class Line {
  /** How often the backend answered for this key: whether it did while a caller waited. */
  answers = 0;
  /** Whether the first stands in the backend's queue, which proves that the lock is busy. */
  queued = false;
  readonly #waiters = new Set<Waiter>();

  get first(): Waiter | undefined {
    for (const waiter of this.#waiters) return waiter;
    return undefined;
  }

  join(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }

  leave(waiter: Waiter): void {
    if (this.first === waiter) this.queued = false;
    this.#waiters.delete(waiter);
  }
}
