import { Chain, type Link } from '../structures/chain.js';
import { isAlone } from '../backends/lock-backend.js';
import { alarm, Deadline } from '../time/clock.js';
import type { HoldingTerms } from './holding.js';
import type { Lease } from './lease.js';

const NOBODY: readonly never[] = [];

/** Who can stand in a line. */
export interface Standing<W> {
  readonly wish: HoldingTerms;
  /** Where it stands, which its line keeps. */
  standing: Link<W> | undefined;
}

/**
 * The callers of this process that wait for one key, in the order in which they came. Only the
 * first stands in the backend's queue: a process costs the backend one waiter a key, however many
 * callers it has. It does not even do that while a lease of this process may be handed over to it.
 *
 * Only who must be alone can leave it at that. Others may be let in together, and nobody may be passed
 * by them: so from the first of those on, all stand in the backend's queue.
 */
export class Line<W extends Standing<W>> {
  /** How often the backend answered for this key: whether it did while a caller waited. */
  answers = 0;
  /** Whether the first stands in the backend's queue, which proves that the lock is busy. */
  queued = false;
  /** A lease that a caller of this line holds and may pass on. */
  lease: Lease | undefined;
  readonly #waiters = new Chain<W>();
  /** Whether every caller stands in the backend's queue, until the line is empty. */
  #all = false;
  #disarm: (() => void) | undefined;

  get first(): W | undefined {
    return this.#waiters.first?.value;
  }

  get length(): number {
    return this.#waiters.length;
  }

  /** @returns those that have to ask the backend for this, apart from the first of all */
  join(waiter: W): readonly W[] {
    waiter.standing = this.#waiters.add(waiter);
    if (this.length === 1) this.#all = false;
    if (this.#all) return [waiter];
    this.#all = !isAlone(waiter.wish);
    return this.#all ? [...this.#waiters] : NOBODY;
  }

  leave(waiter: W): void {
    if (this.first === waiter) this.queued = false;
    if (waiter.standing !== undefined) this.#waiters.remove(waiter.standing);
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
