import { LockError } from './lock.error.js';

/** A decorated method was called on an instance that no LockModule knows. Its body did not run. */
export class LockNotWiredError extends LockError {
  static override readonly name = 'LockNotWiredError';
  static override readonly code = 'LOCK_NOT_WIRED';
  readonly code = LockNotWiredError.code;

  constructor(
    /** `Class.method` */
    readonly method: string,
    /** What it has in the place of what locks, if it has anything. */
    instead?: string,
  ) {
    super(
      instead === undefined
        ? `${method} is locked, but this instance was not made by a Nest application with a LockModule, ` +
            'so it was not run. Let Nest make it (list the class in providers or controllers), ' +
            'or wire a hand-made object with lockService.attach(instance).'
        : `${method} is locked, but was given ${instead}, most likely a mock, so it was not run. ` +
            'In a test import LockModule.forRoot(), which locks in memory, ' +
            'or have the mocker give new LockInterceptor(new LockService()) for getLockInterceptorToken().',
    );
  }
}
