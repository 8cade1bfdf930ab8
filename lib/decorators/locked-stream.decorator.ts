import { defer, isObservable, type Observable } from 'rxjs';
import { LockConfigurationError } from '../errors/index.js';
import type { LockedStreamOptions } from '../interfaces/index.js';
import { shown } from '../errors/shown.js';
import { kindOf } from './decorate.js';
import { lockMethod, type Fits, type KeySource, type LockedCall } from './lock-method.js';

/** Refuses, by its type, what is not a method that returns a stream and fits the key function. */
export type LockedStreamDecorator<Args extends unknown[]> = <
  T extends (...args: never[]) => Observable<unknown> | AsyncIterable<unknown>,
>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<T> & Fits<Parameters<T>, Args>,
) => void;

/**
 * {@link Locked} for methods that return an Observable or an async iterable. The lock is held from
 * the subscription (the first `next()`) until complete, error, unsubscribe or `return()`; the
 * method itself runs under it, once for each subscription. A lost lock ends the stream with the
 * LockLostError.
 */
export function LockedStream<Args extends unknown[] = unknown[]>(
  key: KeySource<Args>,
  options: LockedStreamOptions = {},
): LockedStreamDecorator<Args> {
  return (...parameters) => {
    lockMethod(
      {
        decorator: '@LockedStream',
        key,
        options,
        advice(original, where) {
          const kind = kindOf(original);
          if (kind === 'AsyncGeneratorFunction') return iterate;
          if (kind === 'Function') return stream;
          throw new LockConfigurationError(
            `@LockedStream needs a method that returns an Observable or an async iterable; ${where} is of the kind ${kind}`,
          );
        },
      },
      parameters,
    );
  };
}

function iterate({ where, interceptor, context, invoke }: LockedCall): AsyncGenerator {
  return interceptor().iterate(context, () => iterableOf(invoke(), where));
}

/** What the method returns is not known before it runs under the lock: so it can be used as either. */
function stream(call: LockedCall): Observable<unknown> & AsyncIterable<unknown> {
  const { where, interceptor, context, invoke } = call;
  const handle = () => defer(() => observableOf(invoke(), where));
  return Object.assign(interceptor().intercept(context, { handle }), {
    [Symbol.asyncIterator]: () => iterate(call),
  });
}

function observableOf(result: unknown, where: string): Observable<unknown> {
  if (isObservable(result)) return result;
  throw isAsyncIterable(result) ? misused(where, 'subscribed to') : noStream(where, result);
}

function iterableOf(result: unknown, where: string): AsyncIterable<unknown> {
  if (isAsyncIterable(result)) return result;
  throw isObservable(result) ? misused(where, 'iterated') : noStream(where, result);
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

function misused(where: string, how: string): LockConfigurationError {
  return new LockConfigurationError(
    `What ${where} returns cannot be ${how}, also under @LockedStream`,
  );
}

function noStream(where: string, result: unknown): LockConfigurationError {
  return new LockConfigurationError(
    `@LockedStream can only lock methods that return an Observable or an async iterable; ${where} returned ${shown(result)}`,
  );
}
