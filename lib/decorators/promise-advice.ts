import { defer, isObservable, lastValueFrom } from 'rxjs';
import { LockConfigurationError } from '../errors/index.js';
import { shown } from '../errors/shown.js';
import { LockInterceptor } from '../lock.interceptor.js';
import { isAsyncIterable, kindOf, type Method } from './decorate.js';
import type { Advice } from './lock-method.js';

/** Where to look instead when the method returns a stream. */
const INSTEAD = { '@Locked': '; use @LockedStream', '@LeaderOnly': '' };

type Decorator = keyof typeof INSTEAD;

/** For a method that returns a promise. */
export function promiseAdvice(decorator: Decorator): Advice {
  return (original, where) => {
    refuseGenerator(decorator, original, where);
    return async ({ interceptor, context, invoke }) => {
      const advice = interceptor();
      const body = () => promiseOf(decorator, invoke(), where);
      return isOurs(advice)
        ? await advice.run(context, body)
        : await lastValueFrom(advice.intercept(context, { handle: () => defer(body) }));
    };
  };
}

/** An application can put an advice of its own in its place; else the way round by Observables is saved. */
function isOurs(advice: LockInterceptor): boolean {
  return Reflect.get(advice, 'intercept') === Reflect.get(LockInterceptor.prototype, 'intercept');
}

/** @throws LockConfigurationError at decoration */
function refuseGenerator(decorator: Decorator, original: Method, where: string): void {
  if (kindOf(original).endsWith('GeneratorFunction')) {
    throw new LockConfigurationError(
      `${decorator} cannot lock the generator ${where}${INSTEAD[decorator]}`,
    );
  }
}

/** @throws LockConfigurationError for anything else, whose work would outlive the lock or be over before it */
function promiseOf(decorator: Decorator, result: unknown, where: string): Promise<unknown> {
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
