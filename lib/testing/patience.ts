import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockBackendError } from '../errors/index.js';

/** What must happen at once may take this long on a busy machine, in milliseconds. */
export const SOON = 6_000;

/** A thousand of it at once are the work of a processor and a disk, in milliseconds. */
export const A_THOUSAND = 5 * SOON;

/** A wait that is to run out, but not before the store has answered, in milliseconds. */
export const BRIEF = 500;

/** A ttl or wait that no test sits through: whoever needs it to end is late. In milliseconds. */
export const LONG = 60_000;

/** What the promise resolves to; fails when that takes longer than so many milliseconds. */
export async function soon<T>(what: string, promise: T | Promise<T>, ms = SOON): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new assert.AssertionError({ message: `not within ${ms} ms: ${what}` }));
    }, ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until the condition holds; fails when it does not within so many milliseconds. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  ms = SOON,
): Promise<void> {
  const start = performance.now();
  while (!(await condition())) {
    assert.ok(performance.now() - start < ms, `not within ${ms} ms: ${what}`);
    await sleep(5);
  }
}

/** The error that the promise rejects with; fails when it resolves, or takes too long. */
export async function rejection(
  what: string,
  promise: Promise<unknown>,
  ms = SOON,
): Promise<unknown> {
  const outcome = await soon(
    what,
    promise.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    ),
    ms,
  );
  assert.ok('error' in outcome, `resolved instead of being refused: ${what}`);
  return outcome.error;
}

/**
 * Why a lock that is busy was not had by waiting. Waits for longer where the store did not even answer
 * in that time: it may have to be connected to, on a busy machine.
 */
export async function inVain(wait: (ms: number) => Promise<unknown>): Promise<unknown> {
  const error = await rejection('the wait', wait(BRIEF));
  if (!(error instanceof LockBackendError)) return error;
  return rejection('the longer wait', wait(SOON), 2 * SOON);
}

/** Keeps the event loop from running, as a long computation does, but leaves the processor to others. */
export function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Milliseconds since this was called. */
export function stopwatch(): () => number {
  const start = performance.now();
  return () => performance.now() - start;
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener(
      'abort',
      () => {
        resolve();
      },
      { once: true },
    );
  });
}
