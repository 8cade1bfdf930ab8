import { defer, lastValueFrom } from 'rxjs';
import { LockConfigurationError } from '../errors/index.js';
import { shown } from '../text/shown.js';
import { LockInterceptor } from '../lock.interceptor.js';
import { kindOf, type Method } from './decorate.js';
import { intercept } from './interceptor-calls.js';
import type { Advice } from './lock-method.js';
import { discard, isStream } from './returned-stream.js';

/** Where to look instead when the method returns a stream. */
const INSTEAD = {
  '@Locked':
    '; use @LockedStream, for a file on the async generator that it reads from: ' +
    'new StreamableFile(Readable.from(this.rows()))',
  '@LeaderOnly': '',
};

type Decorator = keyof typeof INSTEAD;

/** For a method that returns a promise. */
export function promiseAdvice(decorator: Decorator): Advice {
  return (original, where) => {
    refuseGenerator(decorator, original, where);
    return async (call) => {
      const advice = call.interceptor();
      const body = () => promiseOf(decorator, call.invoke(), where);
      return isOurs(advice)
        ? await advice.run(call.context, body)
        : await lastValueFrom(intercept(advice, call, () => defer(body)));
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
  refuseStream(decorator, result, where);
  if (typeof (result as PromiseLike<unknown> | undefined)?.then !== 'function') {
    throw new LockConfigurationError(
      `${decorator} can only lock methods that return a promise; ${where} returned ${shown(result)}`,
    );
  }
  return (result as Promise<unknown>).then((value) => {
    refuseStream(decorator, value, where);
    return value;
  });
}

/** @throws LockConfigurationError for what would be read without the lock; it is ended unread */
function refuseStream(decorator: Decorator, result: unknown, where: string): void {
  if (!isStream(result)) return;
  discard(result);
  throw new LockConfigurationError(
    `${decorator} cannot lock ${where}, which returns a stream${INSTEAD[decorator]}`,
  );
}
