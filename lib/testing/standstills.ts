/** When this process stood still, as on a machine that has too much to do. */
export class Standstills {
  #seen = performance.now();
  #latest = -Infinity;
  readonly #timer: NodeJS.Timeout;

  /** @param most for how long it may not run before that counts, in milliseconds */
  constructor(private readonly most: number) {
    this.#timer = setInterval(() => {
      this.#look();
    }, most / 5);
  }

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
    if (now - this.#seen > this.most) this.#latest = now;
    this.#seen = now;
  }
}
