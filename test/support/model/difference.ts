import { isDeepStrictEqual } from 'node:util';
import type { KeyState } from 'nestjs-lock';
import type { Claim, KeyModel } from './lock-model.js';

/** What a program knows of its request number `n`. */
export interface Known {
  readonly id: string;
  readonly token: number;
}

/** What a store shows of a key and should not, in words. */
export function difference(
  { holders, queue }: KeyModel,
  state: KeyState,
  known: (n: number) => Known,
): string | undefined {
  const words = ({ n, mode }: Claim) => `${known(n).id} ${mode}`;
  // What is only kept taken may be shown or not.
  const kept = new Set(holders.filter((holder) => holder.kept).map(({ n }) => known(n).id));
  const expected = {
    // Readers who are let in together have their tokens in any order.
    holders: holders
      .filter((holder) => !holder.kept)
      .sort((one, other) => known(one.n).token - known(other.n).token)
      .map(words),
    queue: queue.map(words),
    waiters: queue.length,
  };
  const shown = {
    holders: state.holders.filter(({ id }) => !kept.has(id)).map(({ id, mode }) => `${id} ${mode}`),
    queue: state.queue.map(({ id, mode }) => `${id} ${mode}`),
    waiters: state.waiters,
  };
  if (isDeepStrictEqual(shown, expected)) return undefined;
  return `shows ${JSON.stringify(shown)}, and should show ${JSON.stringify(expected)}`;
}
