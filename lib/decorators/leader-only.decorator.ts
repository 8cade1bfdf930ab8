import type { LeaderOnlyOptions } from '../interfaces/index.js';
import { lockMethod } from './lock-method.js';
import type { LockedDecorator } from './locked.decorator.js';
import { promiseAdvice } from './promise-advice.js';

/**
 * Runs the method only in the process that leads `key`; elsewhere its calls resolve to undefined at
 * once. Every process that has such a method stands for the leadership from its start on, and gives
 * it back when it shuts down. The method must return a promise.
 *
 * @param key the same for all calls: a template without arguments
 * @param options `ttl` of a term; `name` for a named LockModule
 * @throws LockConfigurationError, LockKeyError at decoration. At the call: LockNotWiredError, before
 * the body runs; LockLostError, when the term was lost before the body had settled
 *
 * @example
 * ```ts
 * @Cron('0 * * * *')
 * @LeaderOnly('reports')
 * async report(): Promise<void> {}
 * ```
 */
export function LeaderOnly(key: string, options: LeaderOnlyOptions = {}): LockedDecorator<[]> {
  return lockMethod({
    decorator: '@LeaderOnly',
    key,
    options,
    advice: promiseAdvice('@LeaderOnly'),
  });
}
