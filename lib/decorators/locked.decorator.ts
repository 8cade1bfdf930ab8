import type { LockedOptions } from '../interfaces/index.js';
import { lockMethod, type Fits, type KeySource } from './lock-method.js';
import { promiseAdvice } from './promise-advice.js';

/** Refuses, by its type, what is not a method that returns a promise and fits the key function. */
export type LockedDecorator<Args extends unknown[]> = <
  T extends (...args: never[]) => Promise<unknown>,
>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<T> & Fits<Parameters<T>, Args>,
) => void;

/**
 * Runs the method under a lock: in one place at a time, across every process that shares the
 * backend. The method must return a promise, and not of a stream, which would be read when the lock
 * is gone: that call rejects with a LockConfigurationError. {@link LockedStream} is for streams.
 *
 * @param key a template into the arguments (`'order:{0.id}'`), or a function of them, which may give
 * several keys
 * @param options how to hold the lock; `name` for a named LockModule; `onBusy` for when it is busy
 * @throws LockConfigurationError at decoration. At the call, always before the body runs:
 * LockKeyError, LockNotWiredError, and whatever {@link LockService.withLock} throws
 *
 * @example
 * ```ts
 * @Locked('order:{0.id}', { ttl: '1m' })
 * async ship(order: Order): Promise<void> {}
 * ```
 */
export function Locked<Args extends unknown[] = unknown[]>(
  key: KeySource<Args>,
  options: LockedOptions<Args> = {},
): LockedDecorator<Args> {
  return lockMethod({ decorator: '@Locked', key, options, advice: promiseAdvice('@Locked') });
}
