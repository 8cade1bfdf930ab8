import { LockError } from './lock.error.js';

/** The application is closing: new requests are refused and waiting ones end. */
export class LockShutdownError extends LockError {
  static override readonly name = 'LockShutdownError';
  static override readonly code = 'LOCK_SHUTDOWN';
  readonly code = LockShutdownError.code;

  constructor(key: string) {
    super(`Lock "${key}" is not to be had: the application is shutting down`, key);
  }
}
