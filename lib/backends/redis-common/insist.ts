import { Deadline, pause } from '../../time/clock.js';
import { isPassing, toBackendError } from './redis-errors.js';

/** The longest pause before a failed request is sent again, in milliseconds. */
const LONGEST_PAUSE = 250;

/**
 * Calls `attempt` until it succeeds, fails for good, or `pointless` says that nobody cares any more.
 * Rejects with a LockBackendError: of the last failure, or else of the trouble there is.
 */
export async function insist<T>(
  attempt: () => Promise<T>,
  pointless: () => boolean,
  trouble: () => Error | undefined,
): Promise<T> {
  for (let longest = 20; ; longest = Math.min(2 * longest, LONGEST_PAUSE)) {
    try {
      return await attempt();
    } catch (error) {
      if (!isPassing(error) || pointless()) throw toBackendError(error);
    }
    await pause(longest * Math.random());
    if (pointless()) throw toBackendError(trouble() ?? new Error('given up'));
  }
}

/** The same, for who has no bound of its own: for at most so many milliseconds, or until `closed`. */
export function insistFor<T>(
  ms: number,
  attempt: () => Promise<T>,
  closed: () => boolean,
  trouble: () => Error | undefined,
): Promise<T> {
  const end = Deadline.in(ms);
  return insist(attempt, () => end.passed || closed(), trouble);
}
