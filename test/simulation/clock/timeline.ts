import { createHash } from 'node:crypto';
import TinyQueue from 'tinyqueue';
import { Random } from './random.js';

/** The true time at which each simulation begins, in milliseconds. */
export const EPOCH = 1_790_000_000_000;

/** What of one moment comes first, as in Node's event loop. */
export enum Phase {
  Timers,
  Arrivals,
  Immediates,
}

export type Happening = () => void | Promise<void>;

interface Due {
  readonly at: number;
  readonly phase: Phase;
  /** What was planned first comes first. */
  readonly order: number;
  readonly run: Happening;
}

/**
 * The time of a simulation, in milliseconds since its beginning: it stands still while something happens,
 * and then leaps to what happens next. All that is random comes from one seed, so that the same seed gives
 * the same history, to the last event.
 */
export class Timeline {
  now = 0;
  happenings = 0;
  readonly random: Random;
  readonly #queue = new TinyQueue<Due>([], (one, other) => {
    return one.at - other.at || one.phase - other.phase || one.order - other.order;
  });
  readonly #hash = createHash('sha1');
  #planned = 0;

  constructor(
    readonly seed: number,
    /** Is told of all that is worth telling. */
    private readonly tell: (at: number, words: string) => void,
  ) {
    this.random = new Random(seed);
  }

  at(time: number, run: Happening, phase = Phase.Arrivals): void {
    this.#queue.push({ at: Math.max(time, this.now), phase, order: this.#planned++, run });
  }

  in(ms: number, run: Happening, phase?: Phase): void {
    this.at(this.now + ms, run, phase);
  }

  /** Does what comes next, and all that it leads to at once; false when nothing comes before that time. */
  async next(until: number): Promise<boolean> {
    const due = this.#queue.peek();
    if (due === undefined || due.at > until) {
      this.now = Math.max(this.now, until);
      return false;
    }
    this.#queue.pop();
    this.now = due.at;
    this.happenings++;
    await due.run();
    // All promises settle.
    await new Promise((resolve) => setImmediate(resolve));
    return true;
  }

  note(words: string): void {
    this.#hash.update(`${this.now} ${words}\n`);
    this.tell(this.now, words);
  }

  /** Of all that was noted so far: the same for two runs in which the same happened. */
  get hash(): string {
    return this.#hash.copy().digest('hex').slice(0, 12);
  }
}
