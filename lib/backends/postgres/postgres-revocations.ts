import { Deadline } from '../../time/clock.js';

interface Told {
  /** Of the last revocation. */
  readonly number: number;
  /** When the lease is over, unless it is renewed. */
  readonly until: Deadline;
}

/**
 * The last revocation that was told of each lease: every renewal repeats it, and by then the lease may have
 * been handed to another caller of this process, whom nobody asks to stop.
 */
export class PostgresRevocations {
  readonly #told = new Map<string, Told>();

  /** Of how many leases one is kept. */
  get size(): number {
    return this.#told.size;
  }

  /**
   * Whether this one is to be told: a later one has a greater number.
   * @param life how long the lease lives from now, unless it is renewed, in milliseconds
   */
  isNew(id: string, number: number, life: number): boolean {
    const before = this.#told.get(id)?.number ?? 0;
    this.#told.set(id, { number: Math.max(number, before), until: Deadline.in(life) });
    if (number <= before) return false;
    // A message may come after the release, or the lease be lost without one: nobody forgets those.
    for (const [other, { until }] of this.#told) if (until.passed) this.#told.delete(other);
    return true;
  }

  forget(id: string): void {
    this.#told.delete(id);
  }
}
