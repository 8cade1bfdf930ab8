import ms from 'ms';
import { LONGEST_TIMER } from '../time/timers.js';
import { LockConfigurationError } from '../errors/index.js';
import { shown } from '../text/shown.js';

/**
 * Milliseconds from a number or from a string that `ms` reads; a fraction is rounded up.
 * @throws LockConfigurationError
 */
export function readDuration(
  option: string,
  value: unknown,
  { least = 1, infinite = false } = {},
): number {
  if (infinite && value === Infinity) return Infinity;
  const duration = typeof value === 'string' ? parse(value) : value;
  const wanted = least === 0 ? 'a duration of 0 or more' : 'a positive duration';
  if (typeof duration !== 'number' || Number.isNaN(duration) || duration < 0) {
    throw new LockConfigurationError(`${option} must be ${wanted}, got ${shown(value)}`);
  }
  if (duration < least) {
    throw new LockConfigurationError(
      `${option} must be ${wanted} of at least ${least} ms, got ${shown(value)}`,
    );
  }
  if (duration > LONGEST_TIMER) {
    throw new LockConfigurationError(
      `${option} must be at most ${LONGEST_TIMER} ms (24.8 days)${infinite ? ' or Infinity' : ''}, got ${shown(value)}`,
    );
  }
  return Math.ceil(duration);
}

function parse(value: string): number | undefined {
  // `ms` throws on the empty string and on very long ones, and answers undefined to nonsense.
  if (value === '' || value.length > 100) return undefined;
  return ms(value as ms.StringValue);
}
