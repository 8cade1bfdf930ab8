import { Chain, type Link } from './chain.js';
import { Alarm, Deadline } from './clock.js';

/** Who waits for something, and is told when that takes too long. */
export interface Impatient {
  outOfPatience(): void;
}

/** One who waits, from {@link Patience.begin} to {@link Patience.end}. */
export type Wait = Link<{ readonly one: Impatient; readonly until: Deadline }>;

/**
 * Alarms that are all due after the same time, on one timer: for what is nearly always there before.
 * The timer is that of the one who has waited longest; when that one leaves it stays as it is, and
 * looks for the next one when it rings.
 */
export class Patience {
  /** In the order in which they fall due. */
  readonly #waiting = new Chain<Wait['value']>();
  #alarm: Alarm | undefined;

  /** With `keepAlive` the process does not exit while somebody waits; without, the timer may outlast them. */
  constructor(
    readonly ms: number,
    private readonly keepAlive: boolean,
  ) {}

  get idle(): boolean {
    return this.#waiting.length === 0;
  }

  begin(one: Impatient): Wait {
    const until = Deadline.in(this.ms);
    const wait = this.#waiting.add({ one, until });
    if (this.#alarm === undefined) this.#arm(until);
    return wait;
  }

  /** May be called again, and after it ran out of patience. */
  end(wait: Wait): void {
    this.#waiting.remove(wait);
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
    for (;;) {
      const first = this.#waiting.first;
      if (first === undefined) break;
      const { one, until } = first.value;
      if (!until.passed) {
        this.#arm(until);
        return;
      }
      this.#waiting.remove(first);
      one.outOfPatience();
    }
    this.close();
  }
}
