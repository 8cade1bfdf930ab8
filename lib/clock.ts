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

  plus(ms: number): Instant {
    return new Instant(this.monotonic + ms, this.wall + ms);
  }
}

/** A moment that has not come yet. Everything in this package that ends by time asks one of these. */
export class Deadline {
  readonly #monotonic: number;
  readonly #wall: number;

  constructor(from: Instant, after: number) {
    this.#monotonic = from.monotonic + after;
    this.#wall = from.wall + after;
  }

  static in(ms: number): Deadline {
    return new Deadline(Instant.now(), ms);
  }

  /** Milliseconds left, 0 when it has passed. */
  get remaining(): number {
    // By the clock on which more time passed; see Instant.
    const left = Math.min(this.#monotonic - performance.now(), this.#wall - Date.now());
    return left > 0 ? left : 0;
  }

  get passed(): boolean {
    return this.remaining === 0;
  }
}

/** What the wall clock will show in so many milliseconds: for those who want a point in time, as tokens do. */
export function wallTimeIn(ms: number): number {
  return Date.now() + ms;
}

/** The one timer of all the alarms that are due in a millisecond: a process may hold very many leases. */
interface Bell {
  readonly alarms: Set<Alarm>;
  readonly timer: NodeJS.Timeout;
}

/** By the millisecond at which they are due. */
type Bells = Map<number, Bell>;

const quietBells: Bells = new Map();
const bellsThatKeepAlive: Bells = new Map();

class Alarm {
  #due = 0;
  #bell: Bell | undefined;

  constructor(
    private readonly deadline: Deadline,
    private readonly ring: () => void,
    private readonly bells: Bells,
  ) {
    this.#arm();
  }

  disarm(): void {
    if (!this.#bell?.alarms.delete(this) || this.#bell.alarms.size > 0) return;
    clearTimeout(this.#bell.timer);
    // While a bell rings, there may be a new one in its place.
    if (this.bells.get(this.#due) === this.#bell) this.bells.delete(this.#due);
  }

  #arm(): void {
    const { remaining } = this.deadline;
    this.#due = Math.ceil(performance.now() + remaining);
    this.#bell = this.bells.get(this.#due) ?? this.#hang(Math.ceil(remaining));
    this.#bell.alarms.add(this);
  }

  #hang(ms: number): Bell {
    const [bells, due] = [this.bells, this.#due];
    const timer = setTimeout(() => {
      bells.delete(due);
      for (const alarm of bell.alarms) {
        bell.alarms.delete(alarm);
        // Timers may fire a fraction early, and never count more than the monotonic clock.
        if (alarm.deadline.passed) alarm.ring();
        else alarm.#arm();
      }
    }, ms);
    if (bells === quietBells) timer.unref();
    const bell = { alarms: new Set<Alarm>(), timer };
    bells.set(due, bell);
    return bell;
  }
}

/**
 * Calls back once when the deadline has passed, never before; returns what calls it off.
 * Without `keepAlive` a pending alarm does not keep the process from exiting.
 */
export function alarm(deadline: Deadline, ring: () => void, keepAlive = false): () => void {
  const own = new Alarm(deadline, ring, keepAlive ? bellsThatKeepAlive : quietBells);
  return () => {
    own.disarm();
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
