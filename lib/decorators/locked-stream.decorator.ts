import { defer, isObservable, type Observable } from 'rxjs';
import { LockConfigurationError } from '../errors/index.js';
import type { LockedStreamOptions } from '../interfaces/index.js';
import { shown } from '../text/shown.js';
import { kindOf } from './decorate.js';
import * as ask from './interceptor-calls.js';
import {
  lockMethod,
  type Advice,
  type Fits,
  type KeySource,
  type LockedCall,
} from './lock-method.js';
import { isAsyncIterable } from './returned-stream.js';

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
 *
 * A file to download reads from such an async generator:
 * `new StreamableFile(Readable.from(this.rows()))`.
 *
 * What a method returns that is not an async generator is an Observable to Nest: where Nest is to
 * iterate it, as for a GraphQL subscription, write an async generator.
 */
export function LockedStream<Args extends unknown[] = unknown[]>(
  key: KeySource<Args>,
  options: LockedStreamOptions = {},
): LockedStreamDecorator<Args> {
  return lockMethod({ decorator: '@LockedStream', key, options, advice });
}

const advice: Advice = (original, where) => {
  const kind = kindOf(original);
  if (kind === 'AsyncGeneratorFunction') return iterate;
  if (kind === 'Function') return stream;
  throw new LockConfigurationError(
    `@LockedStream needs a method that returns an Observable or an async iterable; ${where} is of the kind ${kind}`,
  );
};

function iterate(call: LockedCall): AsyncGenerator {
  const { where, interceptor, invoke } = call;
  return ask.iterate(interceptor(), call, () => iterableOf(invoke(), where));
}

/** What the method returns is not known before it runs under the lock: so it can be used as either. */
function stream(call: LockedCall): Observable<unknown> & AsyncGenerator {
  const { where, interceptor, invoke } = call;
  const handle = () => defer(() => observableOf(invoke(), where));
  let own: AsyncGenerator | undefined;
  const steps = () => (own ??= iterate(call));
  return Object.assign(ask.intercept(interceptor(), call, handle), {
    next: async (...sent: [] | [unknown]) => steps().next(...sent),
    return: async (value: unknown) => steps().return(value),
    throw: async (error: unknown) => steps().throw(error),
    [Symbol.asyncIterator]: () => iterate(call),
    [Symbol.asyncDispose]: async () => {
      await steps().return(undefined);
    },
  });
}

function observableOf(result: unknown, where: string): Observable<unknown> {
  if (isObservable(result)) return result;
  throw isAsyncIterable(result)
    ? misused(where, 'subscribed to; to have Nest iterate it, write it as an async generator')
    : noStream(where, result);
}

function iterableOf(result: unknown, where: string): AsyncIterable<unknown> {
  if (isAsyncIterable(result)) return result;
  throw isObservable(result) ? misused(where, 'iterated') : noStream(where, result);
}

function misused(where: string, how: string): LockConfigurationError {
  return new LockConfigurationError(`What ${where} returns under @LockedStream cannot be ${how}`);
}

function noStream(where: string, result: unknown): LockConfigurationError {
  return new LockConfigurationError(
    `@LockedStream can only lock methods that return an Observable or an async iterable; ${where} returned ${shown(result)}`,
  );
}
