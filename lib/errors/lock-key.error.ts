import { LockError } from './lock.error.js';

/** A key, or what a key template made of the arguments, cannot be locked. Nothing was asked of the backend. */
export class LockKeyError extends LockError {
  static override readonly name = 'LockKeyError';
  static override readonly code = 'LOCK_KEY';
  readonly code = LockKeyError.code;
}
