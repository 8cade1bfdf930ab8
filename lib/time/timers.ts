import { AsyncLocalStorage } from 'node:async_hooks';
import { nextTick } from 'node:process';
import { setImmediate } from 'node:timers';

/** What timers can count, in milliseconds. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** Timers do not count while the machine sleeps: so often the wall clock is looked at, in milliseconds. */
const LOOK = 1_000;

/** A wall clock that moved by more than this against the other one was set, or the machine slept. */
const JUMP = 10;

/** As they are while this package is loaded: fake timers come later, and do not reach what is kept here. */
const [turn, tick] = [setImmediate, nextTick];

/**
 * Runs what outlives its caller, or serves others as well: in none of the contexts of users, which
 * would be kept alive by it, and would be told of what others do.
 */
export const outsideOfContexts: <T>(body: () => T) => T = AsyncLocalStorage.snapshot();

/** Calls back once what has arrived by now was dealt with. */
export function afterThisTurn(callback: () => void): void {
  outsideOfContexts(() => turn(callback));
}

/** Calls back once what runs right now has returned, before anybody who waits for a promise goes on. */
export function afterThisCall(callback: () => void): void {
  void outsideOfContexts(() => Promise.resolve().then(callback));
}

/** What the queue knows of one that waits in it. */
export interface Timed {
  /** Milliseconds left, which may be infinite; 0 when the time has come. */
  readonly remaining: number;
  /** Whether the process is not to exit meanwhile. */
  readonly keepAlive: boolean;
  ring(): void;
  /** When it is due by the monotonic clock. For the queue only, as is the next. */
  due: number;
  /** Whether it waits. */
  waits: boolean;
}

/** The timer that is armed. */
interface Armed {
  readonly timer: Partial<NodeJS.Timeout>;
  readonly rings: number;
  /** With which function, and what calls it off. */
  readonly set: typeof setTimeout;
  readonly clear: typeof clearTimeout;
}

/** So many that have left are not worth to be looked for. */
const FEW = 64;

/**
 * All that wait for time, on one timer: to come and to leave costs next to nothing, as most leave long
 * before they are due. It keeps the process from exiting exactly while one of them wants that.
 *
 * A binary heap by the time at which they are due. Who leaves is taken out when it comes to the top, or
 * when there are more of those than of others. Clocks and timers may be replaced by fake ones, and fake
 * ones by real ones, at any time.
 */
class TimerQueue {
  #heap: Timed[] = [];
  /** How many of them wait. */
  #waiting = 0;
  #keepAlive = 0;
  #armed: Armed | undefined;
  #lookingWhetherEmpty = false;
  /** By how much the wall clock was ahead of the monotonic one when the times were reckoned. */
  #ahead = 0;

  add(one: Timed, now = performance.now(), remaining = one.remaining): void {
    if (this.#waiting++ === 0) this.#ahead = Date.now() - now;
    one.due = now + remaining;
    one.waits = true;
    this.#heap.push(one);
    this.#rise(one, this.#heap.length - 1);
    if (one.keepAlive && ++this.#keepAlive === 1) this.#armed?.timer.ref?.();
    this.lookAfterTimer(now);
    if (this.#armed === undefined || this.#armed.rings > one.due) this.#arm();
  }

  /** For who counts on one that was added before: the timer may have been replaced since. */
  lookAfterTimer(now = performance.now()): void {
    if (this.#armed === undefined || !isDead(this.#armed, now)) return;
    this.#reckon();
    this.#arm();
  }

  /** May be called again, and after it rang. */
  remove(one: Timed): void {
    if (!one.waits) return;
    one.waits = false;
    this.#waiting--;
    if (one.keepAlive && --this.#keepAlive === 0) this.#armed?.timer.unref?.();
    if (this.#waiting === 0) {
      this.#heap.length = 0;
      this.#disarmIfEmpty();
    } else if (this.#heap.length > 2 * this.#waiting + FEW) {
      this.#sort();
    }
  }

  /** Not at once: the next one often comes in the same breath. */
  #disarmIfEmpty(): void {
    if (this.#lookingWhetherEmpty) return;
    this.#lookingWhetherEmpty = true;
    tick(() => {
      this.#lookingWhetherEmpty = false;
      if (this.#waiting === 0) this.#disarm();
    });
  }

  #disarm(): void {
    this.#armed?.clear(this.#armed.timer as NodeJS.Timeout);
    this.#armed = undefined;
  }

  #arm(): void {
    this.#disarm();
    const first = this.#first();
    if (first === undefined) return;
    const now = performance.now();
    const longest = first.due === Infinity ? LONGEST_TIMER : LOOK;
    const ms = Math.max(1, Math.ceil(Math.min(first.due - now, longest)));
    // Where timers are numbers, there is no process to keep alive.
    const timer: Partial<NodeJS.Timeout> = outsideOfContexts(() => setTimeout(this.#ring, ms));
    this.#armed = { timer, rings: now + ms, set: setTimeout, clear: clearTimeout };
    if (this.#keepAlive === 0) timer.unref?.();
  }

  readonly #ring = (): void => {
    this.#armed = undefined;
    if (this.#waiting === 0) return;
    const now = performance.now();
    if (Math.abs(Date.now() - now - this.#ahead) > JUMP) this.#reckon();
    try {
      for (
        let first = this.#first();
        first !== undefined && first.due <= now;
        first = this.#first()
      ) {
        const { remaining } = first;
        if (remaining === 0) {
          this.remove(first);
          first.ring();
        } else {
          // Timers may ring a fraction early. By so much more that it is not due now.
          first.due = now + Math.max(remaining, 0.01);
          this.#sink(first);
        }
      }
    } finally {
      this.#arm();
    }
  };

  /** The clocks are others, or moved one against the other. */
  #reckon(): void {
    const now = performance.now();
    this.#ahead = Date.now() - now;
    for (const one of this.#heap) if (one.waits) one.due = now + one.remaining;
    this.#sort();
  }

  /** Without those that have left. */
  #sort(): void {
    this.#heap = this.#heap
      .filter(({ waits }) => waits)
      .sort((one, other) => (one.due < other.due ? -1 : 1));
  }

  /** The one that is due first. Those before it that have left are taken out. */
  #first(): Timed | undefined {
    for (;;) {
      const [first] = this.#heap;
      if (first === undefined || first.waits) return first;
      const last = this.#heap.pop();
      if (last !== undefined && last !== first) this.#sink(last);
    }
  }

  #rise(one: Timed, from: number): void {
    let index = from;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = this.#heap[above];
      if (parent === undefined || parent.due <= one.due) break;
      this.#heap[index] = parent;
      index = above;
    }
    this.#heap[index] = one;
  }

  /** Puts it at the top, and lets it sink to its place. */
  #sink(one: Timed): void {
    let index = 0;
    for (;;) {
      let below = 2 * index + 1;
      const [left, right] = [this.#heap[below], this.#heap[below + 1]];
      if (left === undefined) break;
      const sooner = right !== undefined && right.due < left.due ? right : left;
      if (sooner === right) below++;
      if (one.due <= sooner.due) break;
      this.#heap[index] = sooner;
      index = below;
    }
    this.#heap[index] = one;
  }
}

/** Whether a timer will not ring any more: those who replaced it took it with them. */
function isDead({ set, rings }: Armed, now: number): boolean {
  return set !== setTimeout || rings < now - LOOK;
}

/** The one mechanism of this package that waits for time. */
export const timers = new TimerQueue();
