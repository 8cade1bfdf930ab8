/** Fewer than so many are not worth a sweep. */
const SWEEP_FROM = 1_000;

/**
 * What is known of each key. What nobody uses is not deleted at once: mostly the same keys are asked for
 * again, and V8 makes a new table whenever a small Map loses its last entry. It is swept now and then, so
 * that there are at most as many unused ones as used ones, or a thousand.
 */
export class ByKey<T> {
  readonly #entries = new Map<string, T>();
  #sweepAt = SWEEP_FROM;

  constructor(
    private readonly make: (key: string) => T,
    private readonly isUsed: (entry: T) => boolean,
  ) {}

  find(key: string): T | undefined {
    return this.#entries.get(key);
  }

  of(key: string): T {
    let entry = this.#entries.get(key);
    if (entry === undefined) this.#entries.set(key, (entry = this.make(key)));
    return entry;
  }

  values(): Iterable<T> {
    return this.#entries.values();
  }

  /** Forgets what is not used, if it is time: to be called before {@link of}, while nobody relies on an unused one. */
  sweep(): void {
    if (this.#entries.size < this.#sweepAt) return;
    for (const [key, entry] of this.#entries) if (!this.isUsed(entry)) this.#entries.delete(key);
    // Doubling the mark keeps its cost constant per key.
    this.#sweepAt = Math.max(SWEEP_FROM, 2 * this.#entries.size);
  }
}
