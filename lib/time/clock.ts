import { timers } from './timers.js';

/** By how much two clocks may run at different rates. */
export const DRIFT = 0.01;

/**
 * A moment on this process's clocks.
 *
 * Time passed is the larger of what the monotonic and the wall clock say: the monotonic one
 * stands still while the machine sleeps, the wall clock can be set back. A lease must count both.
 */
export class Instant {
  private constructor(
    /** @internal */
    readonly monotonic: number,
    /** @internal */
    readonly wall: number,
  ) {}

  static now(): Instant {
    return new Instant(performance.now(), Date.now());
  }

  /** Milliseconds passed since this moment. */
  get elapsed(): number {
    return Math.max(performance.now() - this.monotonic, Date.now() - this.wall);
  }

  /** Milliseconds from this moment to that one. */
  elapsedAt(now: Instant): number {
    return Math.max(now.monotonic - this.monotonic, now.wall - this.wall);
  }

  plus(ms: number): Instant {
    return new Instant(this.monotonic + ms, this.wall + ms);
  }
}

/** A moment that has not come yet. Everything in this package that ends by time asks one of these. */
export class Deadline {
  constructor(
    private readonly from: Instant,
    private readonly after: number,
  ) {}

  static in(ms: number): Deadline {
    return new Deadline(Instant.now(), ms);
  }

  /** Milliseconds left, 0 when it has passed. */
  get remaining(): number {
    const left = this.after - this.from.elapsed;
    return left > 0 ? left : 0;
  }

  /** The same at a moment that was read before, for who asks many at once. */
  remainingAt(now: Instant): number {
    const left = this.after - this.from.elapsedAt(now);
    return left > 0 ? left : 0;
  }

  /** Which share of the time has passed: from 0 to 1. */
  get used(): number {
    return this.after > 0 ? 1 - this.remaining / this.after : 1;
  }

  get passed(): boolean {
    return this.remaining === 0;
  }

  /** The one that comes first. */
  earliest(other: Deadline | undefined): Deadline {
    if (other === undefined) return this;
    const now = Instant.now();
    return this.remainingAt(now) <= other.remainingAt(now) ? this : other;
  }
}

/** What the wall clock will show in so many milliseconds: for those who want a point in time, as tokens do. */
export function wallTimeIn(ms: number): number {
  return Date.now() + ms;
}

/**
 * Calls back once when its deadline has passed, never before, unless it was called off. Only with
 * `keepAlive` it keeps the process from exiting, for as long as it is pending: also where its
 * deadline never comes.
 */
export class Alarm {
  /** @internal */
  due = 0;
  /** @internal */
  waits = false;

  constructor(
    private readonly deadline: Deadline,
    /** @internal */
    readonly ring: () => void,
    /** @internal */
    readonly keepAlive = false,
    set?: Instant,
  ) {
    if (set === undefined) timers.add(this);
    else timers.add(this, set.monotonic, deadline.remainingAt(set));
  }

  /** For a deadline that begins now: looks at the clock once. */
  static in(ms: number, ring: () => void, keepAlive = false): Alarm {
    const now = Instant.now();
    return new Alarm(new Deadline(now, ms), ring, keepAlive, now);
  }

  /** @internal */
  get remaining(): number {
    return this.deadline.remaining;
  }

  /** May be called again, and after it rang. */
  off(): void {
    timers.remove(this);
  }
}

/** An {@link Alarm}, as what calls it off. */
export function alarm(deadline: Deadline, ring: () => void, keepAlive = false): () => void {
  const own = new Alarm(deadline, ring, keepAlive);
  return () => {
    own.off();
  };
}

/** Resolves after so many milliseconds; does not keep the process from exiting. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    alarm(Deadline.in(ms), resolve);
  });
}

/** What the promise resolves to, or undefined when it takes longer than so many milliseconds. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let disarm!: () => void;
  const timeout = new Promise<undefined>((resolve) => {
    disarm = alarm(
      Deadline.in(ms),
      () => {
        resolve(undefined);
      },
      true,
    );
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    disarm();
  }
}
