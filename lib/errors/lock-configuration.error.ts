import { LockError } from './lock.error.js';

/** An option or a use of a decorator that cannot work. The message names it and what was given. */
export class LockConfigurationError extends LockError {
  static override readonly name = 'LockConfigurationError';
  static override readonly code = 'LOCK_CONFIGURATION';
  readonly code = LockConfigurationError.code;
}
