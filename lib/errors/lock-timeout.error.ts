import { LockError } from './lock.error.js';

/** Busy: others held the key for as long as the caller was ready to wait. */
export class LockTimeoutError extends LockError {
  static override readonly name = 'LockTimeoutError';
  static override readonly code = 'LOCK_TIMEOUT';
  readonly code = LockTimeoutError.code;

  constructor(
    key: string,
    /** How long the caller was ready to wait, in milliseconds. */
    readonly wait: number,
  ) {
    super(
      wait === 0
        ? `Lock "${key}" is held by another`
        : `Lock "${key}" was not granted within ${wait} ms: it is held by another`,
      key,
    );
  }
}
