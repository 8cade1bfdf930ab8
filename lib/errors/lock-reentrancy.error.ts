import { LockError } from './lock.error.js';

/** The caller already runs under this lock and would wait for itself. See the option `reentrant`. */
export class LockReentrancyError extends LockError {
  static override readonly code = 'LOCK_REENTRANCY';
  readonly code = LockReentrancyError.code;

  constructor(key: string) {
    super(
      `Lock "${key}" is already held by this async context, which would wait for itself; ` +
        'pass { reentrant: true } to enter it again',
      key,
    );
  }
}
