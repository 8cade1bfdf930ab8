/** Who asks for a lock, as far as that is told; with {@link CALLER} it travels with the options of a call. */
export interface Caller {
  /** The decorated method, as `Class.method`. */
  readonly where?: string;
  /** What its locks are called, unless the options say it. */
  readonly template?: string;
  /** Whether it is no error to the caller that the lock is busy. */
  readonly toleratesBusy?: boolean;
  /** Whether it is a leadership that is sought. */
  readonly leads?: boolean;
}

/** Of the options that a decorator gives. From the global registry, so that two copies of the package mean the same. */
export const CALLER = Symbol.for('nestjs-lock:caller');

/** What is known of who asks, with the options of a call. */
export interface WithCaller {
  readonly [CALLER]?: Caller;
}

export const LEADER: Caller = { leads: true };
