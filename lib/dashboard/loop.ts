/** Does something again and again while it is wanted, never twice at once. */
export class Loop {
  #running = false;

  constructor(
    private readonly wanted: () => boolean,
    /** Must not reject. */
    private readonly body: () => Promise<void>,
  ) {}

  /** Does nothing if it is under way. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    while (this.wanted()) await this.body();
    this.#running = false;
  }
}
