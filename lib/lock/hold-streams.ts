import { AsyncResource } from 'node:async_hooks';
import { Observable, Subject, takeUntil } from 'rxjs';
import type { Lock } from '../interfaces/index.js';

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
    const body = (lock: Lock) =>
      new Promise<void>((resolve, reject) => {
        // Before the source: it may say all that it has to say while it is subscribed to.
        const ended = new Subject<void>();
        whenAborted(unsubscribed.signal, () => {
          resolve();
          ended.next();
        });
        whenAborted(lock.signal, () => {
          reject(lock.signal.reason as Error);
          ended.next();
        });
        if (unsubscribed.signal.aborted || lock.signal.aborted) return;
        source()
          .pipe(takeUntil(ended))
          .subscribe({
            next: (value) => {
              subscriber.next(value);
            },
            error: reject,
            complete: resolve,
          });
      });
    hold(unsubscribed.signal, body).then(
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
 * and gives it back when the source is done, throws, or is returned from; a `return()` also ends the
 * waiting. Nothing is yielded after the lock was lost.
 */
export function holdWhileIterating(
  hold: Hold,
  open: () => AsyncIterable<unknown>,
): AsyncGenerator<unknown, unknown, unknown> {
  const abandoned = new AbortController();
  const steps = iterate(hold, open, abandoned.signal);
  const giveUp = steps.return.bind(steps);
  return Object.assign(steps, {
    return: (value: unknown) => {
      abandoned.abort();
      return giveUp(value);
    },
  });
}

async function* iterate(
  hold: Hold,
  open: () => AsyncIterable<unknown>,
  abandoned: AbortSignal,
): AsyncGenerator<unknown, unknown, unknown> {
  let finish!: () => void;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let holding!: Promise<void>;
  let scope: Scope;
  try {
    scope = await new Promise<Scope>((resolve, reject) => {
      holding = hold(abandoned, (lock) => {
        // The source runs step by step, each called from somewhere else: all belong under the lock.
        resolve({ lock, inside: new AsyncResource('LockedStream') });
        return finished;
      });
      holding.catch(reject);
    });
  } catch (error) {
    if (abandoned.aborted) return undefined;
    throw error;
  }
  let failed = false;
  try {
    return yield* insideOf(scope, open);
  } catch (error) {
    failed = true;
    throw error;
  } finally {
    finish();
    // The source's own error wins over one of the lock.
    await holding.catch((error: unknown) => {
      if (!failed) throw error;
    });
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
): AsyncIterable<unknown, unknown, unknown> {
  const source = inside.runInAsyncScope(() => open()[Symbol.asyncIterator]());
  const end = source.return?.bind(source);
  const fail = source.throw?.bind(source);
  const endIfLost = async () => {
    if (!lock.signal.aborted) return;
    if (end) await inside.runInAsyncScope(end);
    throw lock.signal.reason;
  };
  const step = async (advance: () => Promise<IteratorResult<unknown>>) => {
    await endIfLost();
    const result = await inside.runInAsyncScope(advance);
    if (!result.done) await endIfLost();
    return result;
  };
  const iterator: AsyncIterator<unknown, unknown, unknown> = {
    next: (value) => step(() => source.next(value)),
  };
  if (end) iterator.return = (value) => step(() => end(value));
  if (fail) iterator.throw = (error) => step(() => fail(error));
  return { [Symbol.asyncIterator]: () => iterator };
}

/** Calls back when the signal aborts, at once if it has. */
function whenAborted(signal: AbortSignal, callback: () => void): void {
  if (signal.aborted) callback();
  else signal.addEventListener('abort', callback, { once: true });
}
