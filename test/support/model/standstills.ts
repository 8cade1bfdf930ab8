/** A process that stood still for longer may count as dead where it waits, though it did nothing wrong. */
const MOST = 1_000;

/** When this process stood still, as on a machine that has too much to do. */
export class Standstills {
  #seen = performance.now();
  #latest = -Infinity;
  readonly #timer = setInterval(() => this.#look(), 100);

  /** Whether it did since this time of `performance.now()`. */
  since(time: number): boolean {
    this.#look();
    return this.#latest >= time;
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    if (now - this.#seen > MOST) this.#latest = now;
    this.#seen = now;
  }
}
