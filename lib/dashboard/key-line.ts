/** So far a line reaches back, in milliseconds. */
const WINDOW = 300_000;

/** Looks within so many milliseconds make one point. */
const STEP = 5_000;

interface Point {
  /** By the monotonic clock. */
  at: number;
  holders: number;
  waiters: number;
}

/** Milliseconds ago, and how many held the key and waited for it from then on. */
export type LinePoint = readonly [ago: number, holders: number, waiters: number];

/** What was seen of a key over the last minutes. */
export class KeyLine {
  #points: Point[] = [];

  note(holders: number, waiters: number): void {
    const at = performance.now();
    const last = this.#points.at(-1);
    if (last !== undefined && at - last.at < STEP) {
      // What was short is not to be missed.
      last.holders = Math.max(last.holders, holders);
      last.waiters = Math.max(last.waiters, waiters);
      return;
    }
    this.#points = this.#points.filter((point) => at - point.at < WINDOW);
    this.#points.push({ at, holders, waiters });
  }

  get points(): LinePoint[] {
    const now = performance.now();
    return this.#points.map(({ at, holders, waiters }) => [Math.round(now - at), holders, waiters]);
  }
}
