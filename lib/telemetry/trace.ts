import type { TracingChannel } from 'node:diagnostics_channel';
import { outsideOfContexts } from '../time/timers.js';

/**
 * Where a subscriber of `start` leaves what the operation is to be run by, such as under a span: so
 * that this becomes the parent of what the operation does. For this package's own subscribers.
 */
export const AROUND = Symbol.for('nestjs-lock:around');

export interface Surroundable {
  [AROUND]?: (run: () => void) => void;
}

/** What is added to the message when the operation is over. Both return whether that is an error. */
export interface Conclusion<Answer> {
  answered(answer: Answer): boolean;
  refused(error: unknown): boolean;
  /** Whether who asked may not be there any more by then. */
  readonly outlivesCaller?: boolean;
}

/**
 * Runs an operation and tells of it as `TracingChannel.tracePromise` does, with these differences: who
 * asks has the operation's own promise; an answer that is there at once is told at once, on `asyncEnd`
 * as well; what is an error is for the {@link Conclusion} to say.
 */
export function trace<Message extends object, Answer>(
  channels: TracingChannel<unknown, Message>,
  message: Message,
  run: () => Answer,
  conclusion: Conclusion<Awaited<Answer>>,
): Answer {
  const { start, end, asyncStart, asyncEnd, error: errors } = channels;
  const over = (isError: boolean) => {
    if (isError) errors.publish(message);
    asyncStart.publish(message);
    asyncEnd.publish(message);
  };
  const answered = (answer: Awaited<Answer>) => {
    over(conclusion.answered(answer));
  };
  const refused = (error: unknown) => {
    over(conclusion.refused(error));
  };
  let answer: Answer;
  try {
    answer = start.runStores(message, () => runSurrounded(message, run));
  } catch (error) {
    end.publish(message);
    refused(error);
    throw error;
  }
  end.publish(message);
  const promise = promiseIn(answer);
  if (promise === undefined) answered(answer as Awaited<Answer>);
  else if (conclusion.outlivesCaller === true) {
    void outsideOfContexts(() => promise.then(answered, refused));
  } else void promise.then(answered, refused);
  return answer;
}

type Outcome<Answer> = { readonly answer: Answer } | { readonly error: unknown };

/** Exactly once, whatever is put around it. */
function runSurrounded<Answer>(message: object, run: () => Answer): Answer {
  const { [AROUND]: around } = message as Surroundable;
  if (around === undefined) return run();
  let outcome = undefined as Outcome<Answer> | undefined;
  try {
    around(() => {
      outcome ??= outcomeOf(run);
    });
  } catch {
    // Not what it runs: that throws nothing.
  }
  outcome ??= outcomeOf(run);
  if ('error' in outcome) throw outcome.error;
  return outcome.answer;
}

function outcomeOf<Answer>(run: () => Answer): Outcome<Answer> {
  try {
    return { answer: run() };
  } catch (error) {
    return { error };
  }
}

function promiseIn<T>(answer: T): PromiseLike<Awaited<T>> | undefined {
  const promise = answer as PromiseLike<Awaited<T>> | undefined;
  return typeof promise?.then === 'function' ? promise : undefined;
}
