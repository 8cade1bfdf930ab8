import { isPassing } from '../redis-common/redis-errors.js';

/** What one of several nodes said, or that it failed; undefined while it has not answered. */
export type Reply<T> =
  | { readonly value: T; readonly error?: undefined }
  | { readonly error: Error; readonly value?: undefined }
  | undefined;

/**
 * Waits for the answers of all nodes, but not longer than it takes to decide. `decide` is called
 * after each, and must decide when all are there: so this always settles.
 */
export function poll<T, R>(
  asked: readonly Promise<T>[],
  decide: (replies: readonly Reply<T>[], pending: number) => R | undefined,
): Promise<R> {
  const replies = asked.map((): Reply<T> => undefined);
  let pending = asked.length;
  return new Promise((resolve, reject) => {
    const heard = (index: number, reply: Reply<T>) => {
      replies[index] = reply;
      pending--;
      const decided = decide(replies, pending);
      if (decided !== undefined) resolve(decided);
      else if (pending === 0) reject(new Error('nothing was decided'));
    };
    asked.forEach((one, index) => {
      one.then(
        (value) => {
          heard(index, { value });
        },
        (error: unknown) => {
          heard(index, { error: error instanceof Error ? error : new Error(String(error)) });
        },
      );
    });
  });
}

/** How many replies are so. */
export function count<T>(replies: readonly Reply<T>[], fits: (value: T) => boolean): number {
  return replies.filter((reply) => reply?.value !== undefined && fits(reply.value)).length;
}

/** Yes or no, when so many nodes say so; an error when neither can be had. */
export function majority<T>(
  quorum: number,
  yes: (value: T) => boolean,
): (replies: readonly Reply<T>[], pending: number) => boolean | Error | undefined {
  return (replies, pending) => {
    if (count(replies, yes) >= quorum) return true;
    if (count(replies, (value) => !yes(value)) >= quorum) return false;
    return pending === 0 ? failureOf(replies) : undefined;
  };
}

/**
 * Why a majority could not be had. What trying again cannot mend is only told when it is that which
 * stands in the way: the rest of the nodes may agree next time.
 */
export function failureOf(replies: readonly Reply<unknown>[]): Error {
  const errors = replies.flatMap((reply) => reply?.error ?? []);
  const lasting = errors.filter((error) => !isPassing(error));
  const [first] = lasting;
  if (first !== undefined && 2 * lasting.length > replies.length) return first;
  return errors.find(isPassing) ?? new Error('the nodes do not agree');
}
