import { isObservable } from 'rxjs';
import { LockConfigurationError } from '../errors/index.js';
import { shown } from '../errors/shown.js';
import { isAsyncIterable, kindOf, type Method } from './decorate.js';

/** Where to look instead when the method returns a stream. */
const INSTEAD = { '@Locked': '; use @LockedStream', '@LeaderOnly': '' };

type Decorator = keyof typeof INSTEAD;

/** @throws LockConfigurationError at decoration */
export function refuseGenerator(decorator: Decorator, original: Method, where: string): void {
  if (kindOf(original).endsWith('GeneratorFunction')) {
    throw new LockConfigurationError(
      `${decorator} cannot lock the generator ${where}${INSTEAD[decorator]}`,
    );
  }
}

/** @throws LockConfigurationError for anything else, whose work would outlive the lock or be over before it */
export function promiseOf(decorator: Decorator, result: unknown, where: string): Promise<unknown> {
  if (isObservable(result) || isAsyncIterable(result)) {
    throw returnsStream(decorator, where);
  }
  if (typeof (result as PromiseLike<unknown> | undefined)?.then !== 'function') {
    throw new LockConfigurationError(
      `${decorator} can only lock methods that return a promise; ${where} returned ${shown(result)}`,
    );
  }
  return (result as Promise<unknown>).then((value) => {
    if (isObservable(value)) throw returnsStream(decorator, where);
    return value;
  });
}

function returnsStream(decorator: Decorator, where: string): LockConfigurationError {
  return new LockConfigurationError(
    `${decorator} cannot lock ${where}, which returns a stream${INSTEAD[decorator]}`,
  );
}
