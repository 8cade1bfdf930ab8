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

/**
 * The options with who asks by them. It is not to be seen among them: what a test puts in the place of
 * a LockService is given what was written.
 */
export function askedBy<Options extends object>(
  caller: Caller | undefined,
  options: Options,
): Options & WithCaller {
  return Object.defineProperty({ ...options }, CALLER, { value: caller });
}

export const LEADER: Caller = { leads: true };
