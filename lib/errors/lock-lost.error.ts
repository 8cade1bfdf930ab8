import { LockError } from './lock.error.js';

/**
 * Why a lock ended before its holder released it.
 * - `expired`: its time ran out by this process's clock (a blocked event loop, a paused process, `renew: false`)
 * - `stolen`: the backend says that it is not ours any more
 * - `revoked`: an operator took it back
 * - `maxHold`: it was held as long as `maxHold` allows
 * - `shutdown`: the application is closing
 * - `backend`: it could not be renewed in time, because the backend did not answer
 * - `released`: not lost at all, but used after the holder itself had given it back
 */
export type LockLostReason =
  'expired' | 'stolen' | 'revoked' | 'maxHold' | 'shutdown' | 'backend' | 'released';

/** Gone: the lock ended before its holder released it. Also the reason of `lock.signal`. */
export class LockLostError extends LockError {
  static override readonly name = 'LockLostError';
  static override readonly code = 'LOCK_LOST';
  readonly code = LockLostError.code;

  constructor(
    key: string,
    readonly reason: LockLostReason,
    options?: ErrorOptions,
  ) {
    super(`Lock "${key}" ${EXPLANATIONS[reason]}`, key, options);
  }
}

const EXPLANATIONS: Record<LockLostReason, string> = {
  expired: 'was lost: its time ran out before it was renewed',
  stolen: 'was lost: the backend says that it is not ours any more',
  revoked: 'was lost: it was taken back by an operator',
  maxHold: 'was lost: it was held for as long as maxHold allows',
  shutdown: 'was lost: the application is shutting down',
  backend: 'was lost: the backend could not be reached in time to renew it',
  released: 'is not held any more: it was released',
};
