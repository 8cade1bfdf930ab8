import type { Instant } from '../../time/clock.js';
import { LockBackendError } from '../../errors/index.js';
import { busy, type LockRequest } from '../lock-backend.js';
import type { StoreReply } from '../store-requests.js';
import { graceError } from './failover-guard.js';
import { replyError } from '../redis-common/redis-errors.js';
import type { AcquireAnswer, AcquireAnswers } from './scripts/calls.js';

export const STRANGER = 'Redis has lost its memory, or another node took over';

/** Why a grant is not believed. */
export const BROKEN = 'the lock was broken meanwhile';

export const NOTHING_DONE = { late: 'the request reached Redis too late', stranger: STRANGER };

/**
 * What the script answered to the request of this index.
 * @param since a moment before the script was sent
 */
export function readAcquire(
  answers: AcquireAnswers,
  index: number,
  { ttl, reserve }: LockRequest,
  since: Instant,
): StoreReply {
  const longest = answers[1];
  if (typeof longest !== 'number') {
    return { state: 'failed', error: new Error(NOTHING_DONE[longest]) };
  }
  const answer = answers[index + 2] as AcquireAnswer;
  if (typeof answer === 'number') return { state: 'granted', token: answer, since, ttl, reserve };
  switch (answer[0]) {
    case 'granted':
      return { state: 'granted', token: answer[1], since, ttl };
    case 'waiting':
      return { state: 'waiting', remaining: answer[1], place: answer[2] };
    case 'busy':
      return busy(answer[1]);
    case 'grace':
      return { state: 'failed', error: new LockBackendError(graceError(answer[1]).message) };
    case 'failed':
      return { state: 'failed', error: replyError(answer[1]) };
  }
}
