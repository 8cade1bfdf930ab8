import { LockError } from './lock.error.js';

/**
 * The caller already runs under this lock and would wait for itself. See the option `reentrant`.
 *
 * Of an event handler: the body that emitted the event ran under the lock for all of the handler's `wait`
 * (a minute, where that is endless), perhaps because it waits for its handlers.
 */
export class LockReentrancyError extends LockError {
  static override readonly name = 'LockReentrancyError';
  static override readonly code = 'LOCK_REENTRANCY';
  readonly code = LockReentrancyError.code;

  /**
   * @param upgrade whether the caller reads under it, and wants to write
   * @param waited for how many milliseconds an event handler waited for the body that emitted the event
   */
  constructor(key: string, upgrade = false, waited?: number) {
    super(waited === undefined ? ownLock(key, upgrade) : emittersLock(key, waited), key);
  }
}

function ownLock(key: string, upgrade: boolean): string {
  return (
    `Lock "${key}" is already held by this async context, ` +
    (upgrade
      ? 'as a reader: two readers who both wait to write would wait for each other for ever; ' +
        'take it exclusively from the start, and downgrade() it when others may read'
      : 'which would wait for itself; pass { reentrant: true } to enter it again')
  );
}

function emittersLock(key: string, waited: number): string {
  return (
    `Lock "${key}" was not granted within ${waited} ms: the body that this event or command comes from ` +
    'still runs under it. If that waits for its handlers, it waits for itself: do not await them there, ' +
    'or pass { reentrant: true } to run under its lock'
  );
}
