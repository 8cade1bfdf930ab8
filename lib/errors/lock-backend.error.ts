import { LockError } from './lock.error.js';

/** The backend is down, too slow, or refuses to work; `cause` has its own words. */
export class LockBackendError extends LockError {
  static override readonly name = 'LockBackendError';
  static override readonly code = 'LOCK_BACKEND';
  readonly code = LockBackendError.code;
}
