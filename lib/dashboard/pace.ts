import { pause } from '../time/clock.js';

/** Shorter waits are not worth a timer, in milliseconds. */
const SHORTEST = 20;

/** What was not used for so long may be used later: timers come late, and later on a machine that is busy. */
const CATCH_UP = 250;

/** Lets so many go in a second, whoever they are. */
export class Pace {
  /** When the next may go, by the monotonic clock. */
  #next = 0;

  constructor(private readonly perSecond: number) {}

  /** Waits for its turn. */
  async turn(): Promise<void> {
    const now = performance.now();
    const at = Math.max(now - CATCH_UP, this.#next);
    this.#next = at + 1_000 / this.perSecond;
    if (at - now > SHORTEST) await pause(at - now);
  }
}
