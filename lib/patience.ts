import { Alarm, Deadline } from './clock.js';

/** Who waits for something, and is told when that takes too long. */
export interface Impatient {
  outOfPatience(): void;
}

/**
 * Alarms that are all due after the same time, on one timer: for what is nearly always there before.
 * The timer is that of the one who has waited longest; when that one leaves it stays as it is, and
 * looks for the next one when it rings.
 */
export class Patience {
  /** In the order in which they fall due. */
  readonly #waiting = new Map<Impatient, Deadline>();
  #alarm: Alarm | undefined;

  /** With `keepAlive` the process does not exit while somebody waits; without, the timer may outlast them. */
  constructor(
    readonly ms: number,
    private readonly keepAlive: boolean,
  ) {}

  get idle(): boolean {
    return this.#waiting.size === 0;
  }

  begin(one: Impatient): void {
    const until = Deadline.in(this.ms);
    this.#waiting.set(one, until);
    if (this.#alarm === undefined) this.#arm(until);
  }

  end(one: Impatient): void {
    this.#waiting.delete(one);
    if (this.keepAlive && this.idle) this.close();
  }

  close(): void {
    this.#alarm?.off();
    this.#alarm = undefined;
  }

  #arm(until: Deadline): void {
    this.#alarm?.off();
    this.#alarm = new Alarm(until, () => this.#ring(), this.keepAlive);
  }

  #ring(): void {
    for (const [one, until] of this.#waiting) {
      if (!until.passed) {
        this.#arm(until);
        return;
      }
      this.#waiting.delete(one);
      one.outOfPatience();
    }
    this.close();
  }
}
