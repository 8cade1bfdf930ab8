/**
 * A moment on this process's clocks.
 *
 * Time passed is the larger of what the monotonic and the wall clock say: the monotonic one
 * stands still while the machine sleeps, the wall clock can be set back. A lease must count both.
 */
export class Instant {
  private constructor(
    private readonly monotonic: number,
    private readonly wall: number,
  ) {}

  static now(): Instant {
    return new Instant(performance.now(), Date.now());
  }

  /** Milliseconds passed since this moment. */
  get elapsed(): number {
    return Math.max(performance.now() - this.monotonic, Date.now() - this.wall);
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
    return Math.max(0, this.after - this.from.elapsed);
  }

  get passed(): boolean {
    return this.remaining === 0;
  }
}

/** What the wall clock will show in so many milliseconds: for those who want a point in time, as tokens do. */
export function wallTimeIn(ms: number): number {
  return Date.now() + ms;
}

/**
 * Calls back once when the deadline has passed, never before; returns what calls it off.
 * Without `keepAlive` a pending alarm does not keep the process from exiting.
 */
export function alarm(deadline: Deadline, ring: () => void, keepAlive = false): () => void {
  let timer: NodeJS.Timeout;
  const arm = () => {
    // Timers may fire a fraction early, and never count more than the monotonic clock.
    timer = setTimeout(() => {
      if (deadline.passed) ring();
      else arm();
    }, Math.ceil(deadline.remaining));
    if (!keepAlive) timer.unref();
  };
  arm();
  return () => {
    clearTimeout(timer);
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
