import { Alarm, Deadline } from '../../clock.js';

export interface Awaited {
  readonly until: Deadline;
  readonly giveUp: (error: Error) => void;
}

/**
 * Gives up replies that do not come. All are waited for equally long, so that one alarm serves many:
 * it stays when the reply that it was set for comes, and looks for the next one when it rings.
 */
export class Overdue {
  /** In the order in which they fall due. */
  readonly #awaited = new Set<Awaited>();
  #alarm: Alarm | undefined;

  /**
   * @param patience milliseconds
   * @param tell called when a reply is given up
   */
  constructor(
    private readonly patience: number,
    private readonly tell: () => void,
  ) {}

  /** Calls `giveUp` when the patience is over, unless it is forgotten before. */
  add(giveUp: (error: Error) => void): Awaited {
    const own = { until: Deadline.in(this.patience), giveUp };
    this.#awaited.add(own);
    if (this.#alarm === undefined) this.#watch();
    return own;
  }

  forget(awaited: Awaited): void {
    this.#awaited.delete(awaited);
  }

  close(): void {
    this.#alarm?.off();
  }

  #watch(): void {
    this.#alarm = undefined;
    for (const own of this.#awaited) {
      if (!own.until.passed) {
        this.#alarm = new Alarm(own.until, () => {
          this.#watch();
        });
        return;
      }
      this.#awaited.delete(own);
      this.tell();
      own.giveUp(new Error(`no reply within ${this.patience} ms`));
    }
  }
}
