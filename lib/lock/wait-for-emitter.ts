import { Alarm } from '../time/clock.js';
import { LockReentrancyError, LockTimeoutError } from '../errors/index.js';
import type { HeldByEmitter } from './lock-context.js';

/** A handler whose `wait` is endless waits for so long for the body that emitted its event, in milliseconds. */
const LONGEST = 60_000;

interface Patience {
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Takes locks for a handler of an event that was emitted under them. Nobody knows whether the body that
 * emitted it waits for its handlers, and so for itself: if it is still inside when the time is over,
 * that is what the handler is told.
 */
export async function waitForEmitter<S extends Patience, T>(
  settings: S,
  held: HeldByEmitter,
  take: (settings: S) => Promise<T>,
): Promise<T> {
  const { wait, signal } = settings;
  signal?.throwIfAborted();
  const stop = new AbortController();
  const passOn = () => {
    stop.abort(signal?.reason);
  };
  signal?.addEventListener('abort', passOn, { once: true });
  const giveUp = () => {
    const key = held();
    if (key !== undefined) stop.abort(new LockReentrancyError(key, false, LONGEST));
  };
  const alarm = wait === Infinity ? Alarm.in(LONGEST, giveUp) : undefined;
  try {
    return await take({ ...settings, signal: stop.signal });
  } catch (error) {
    const key = error instanceof LockTimeoutError ? held(error.key) : undefined;
    throw key === undefined ? error : new LockReentrancyError(key, false, wait);
  } finally {
    alarm?.off();
    signal?.removeEventListener('abort', passOn);
  }
}
