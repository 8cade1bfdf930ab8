import { LockError } from './lock.error.js';

/** The caller already runs under this lock and would wait for itself. See the option `reentrant`. */
export class LockReentrancyError extends LockError {
  static override readonly code = 'LOCK_REENTRANCY';
  readonly code = LockReentrancyError.code;

  /** @param upgrade whether the caller reads under it, and wants to write */
  constructor(key: string, upgrade = false) {
    super(
      `Lock "${key}" is already held by this async context, ` +
        (upgrade
          ? 'as a reader: two readers who both wait to write would wait for each other for ever; ' +
            'take it exclusively from the start, and downgrade() it when others may read'
          : 'which would wait for itself; pass { reentrant: true } to enter it again'),
      key,
    );
  }
}
