import { alarm, Deadline } from '../clock.js';
import type { Lease } from './lease.js';
import type { Waiter } from './waiter.js';

/**
 * The callers of this process that wait for one key, in the order in which they came. Only the
 * first stands in the backend's queue: a process costs the backend one waiter a key, however many
 * callers it has. It does not even do that while a lease of this process may be handed over to it.
 */
export class Line {
  /** How often the backend answered for this key: whether it did while a caller waited. */
  answers = 0;
  /** Whether the first stands in the backend's queue, which proves that the lock is busy. */
  queued = false;
  /** A lease that a caller of this line holds and may pass on. */
  lease: Lease | undefined;
  #first: Waiter | undefined;
  #last: Waiter | undefined;
  #length = 0;
  #disarm: (() => void) | undefined;

  get first(): Waiter | undefined {
    return this.#first;
  }

  get length(): number {
    return this.#length;
  }

  join(waiter: Waiter): void {
    waiter.before = this.#last;
    if (this.#last === undefined) this.#first = waiter;
    else this.#last.behind = waiter;
    this.#last = waiter;
    this.#length++;
  }

  /** To be called once for each that has joined. */
  leave(waiter: Waiter): void {
    const { before, behind } = waiter;
    if (before !== undefined) {
      before.behind = behind;
    } else {
      this.#first = behind;
      this.queued = false;
    }
    if (behind === undefined) this.#last = before;
    else behind.before = before;
    this.#length--;
  }

  /** Calls back when the lease may not be passed on any more, unless {@link forget} comes first. */
  whenPassedBy(lease: Lease, callback: () => void): void {
    this.#disarm ??= alarm(Deadline.in(lease.passableFor), () => {
      this.#disarm = undefined;
      callback();
    });
  }

  /** Its lease is not to be passed on. */
  forget(): void {
    this.lease = undefined;
    this.#disarm?.();
    this.#disarm = undefined;
  }
}
