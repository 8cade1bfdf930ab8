import { AsyncResource } from 'node:async_hooks';
import { Observable } from 'rxjs';
import type { Lock } from './interfaces/index.js';

/** Runs `body` under a lock; `signal` ends the waiting for it. */
export type Hold = (signal: AbortSignal, body: (lock: Lock) => Promise<void>) => Promise<void>;

/**
 * An Observable that takes its lock at subscription, subscribes to the source under it, and gives
 * it back at complete, error or unsubscribe. A lost lock ends it with the LockLostError.
 */
export function holdWhileSubscribed(
  hold: Hold,
  source: () => Observable<unknown>,
): Observable<unknown> {
  return new Observable((subscriber) => {
    const unsubscribed = new AbortController();
    hold(
      unsubscribed.signal,
      (lock) =>
        new Promise((resolve, reject) => {
          const subscription = source().subscribe({
            next: (value) => {
              subscriber.next(value);
            },
            error: reject,
            complete: resolve,
          });
          unsubscribed.signal.addEventListener('abort', () => {
            subscription.unsubscribe();
            resolve();
          });
          lock.signal.addEventListener('abort', () => {
            subscription.unsubscribe();
            reject(lock.signal.reason as Error);
          });
        }),
    ).then(
      () => {
        subscriber.complete();
      },
      (error: unknown) => {
        subscriber.error(error);
      },
    );
    return () => {
      unsubscribed.abort();
    };
  });
}

/**
 * An async generator that takes its lock at the first `next()`, opens and runs the source under it,
 * and gives it back when the source is done, throws, or is returned from. Nothing is yielded after
 * the lock was lost.
 */
export async function* holdWhileIterating(
  hold: Hold,
  open: () => AsyncIterable<unknown>,
): AsyncGenerator<unknown> {
  const abandoned = new AbortController();
  let finish!: () => void;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let holding!: Promise<void>;
  const scope = await new Promise<Scope>((resolve, reject) => {
    holding = hold(abandoned.signal, (lock) => {
      // The source runs step by step, each called from somewhere else: all belong under the lock.
      resolve({ lock, inside: new AsyncResource('LockedStream') });
      return finished;
    });
    holding.catch(reject);
  });
  try {
    yield* insideOf(scope, open);
  } catch (error) {
    finish();
    // The source's own error wins over one of the lock.
    await holding.catch(() => undefined);
    throw error;
  } finally {
    finish();
    await holding;
  }
}

interface Scope {
  readonly lock: Lock;
  readonly inside: AsyncResource;
}

/** Makes each step of the source run inside of the scope, and none pass after the lock was lost. */
function insideOf(
  { lock, inside }: Scope,
  open: () => AsyncIterable<unknown>,
): AsyncIterable<unknown> {
  const source = inside.runInAsyncScope(() => open()[Symbol.asyncIterator]());
  const step = async (advance: () => Promise<IteratorResult<unknown>>) => {
    const result = await inside.runInAsyncScope(advance);
    if (!result.done) lock.signal.throwIfAborted();
    return result;
  };
  const iterator: AsyncIterator<unknown, unknown, unknown> = {
    next: (value) => step(() => source.next(value)),
  };
  if (source.return) iterator.return = (value) => step(() => source.return!(value));
  if (source.throw) iterator.throw = (error) => step(() => source.throw!(error));
  return { [Symbol.asyncIterator]: () => iterator };
}
