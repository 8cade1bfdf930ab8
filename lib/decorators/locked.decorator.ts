import { isObservable } from 'rxjs';
import { LockConfigurationError } from '../errors/index.js';
import type { LockedOptions } from '../interfaces/index.js';
import { shown } from '../errors/shown.js';
import { isAsyncIterable, kindOf } from './decorate.js';
import { lockMethod, type Advice, type Fits, type KeySource } from './lock-method.js';

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
 * backend. The method must return a promise; {@link LockedStream} is for streams.
 *
 * @param key a template into the arguments (`'order:{0.id}'`), or a function of them
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
  return lockMethod({ decorator: '@Locked', key, options, advice });
}

const advice: Advice = (original, where) => {
  if (kindOf(original).endsWith('GeneratorFunction')) {
    throw new LockConfigurationError(
      `@Locked cannot lock the generator ${where}; use @LockedStream`,
    );
  }
  return async ({ interceptor, context, invoke }) =>
    await interceptor().run(context, () => promiseOf(invoke(), where));
};

/** @throws LockConfigurationError for anything else, whose work would outlive the lock or be over before it */
function promiseOf(result: unknown, where: string): Promise<unknown> {
  if (isObservable(result) || isAsyncIterable(result)) {
    throw returnsStream(where);
  }
  if (typeof (result as PromiseLike<unknown> | undefined)?.then !== 'function') {
    throw new LockConfigurationError(
      `@Locked can only lock methods that return a promise; ${where} returned ${shown(result)}`,
    );
  }
  return (result as Promise<unknown>).then((value) => {
    if (isObservable(value)) throw returnsStream(where);
    return value;
  });
}

function returnsStream(where: string): LockConfigurationError {
  return new LockConfigurationError(
    `@Locked cannot lock ${where}, which returns a stream; use @LockedStream`,
  );
}
