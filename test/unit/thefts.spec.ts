import type { LockHandle } from '../../lib/lock/lock-handle.js';
import { Thefts } from '../../lib/web-locks/thefts.js';

const held = { held: true } as LockHandle;

/** Two thieves of one key, and how often the second breaks what it finds. */
function thieves(breaking: () => Promise<unknown> = () => Promise.resolve()) {
  const thefts = new Thefts();
  const [first, last] = [1, 2].map(() => thefts.begin('k', Promise.resolve()));
  let times = 0;
  const breakAgain = () => {
    times++;
    return breaking();
  };
  return { first: first!, last: last!, breakAgain, times: () => times };
}

describe('a thief before which another one was served', () => {
  it('breaks it once, however often it hears that it has to wait', () => {
    const { first, last, breakAgain, times } = thieves();
    first.holds(held);
    for (let n = 0; n < 3; n++) last.waits(breakAgain);
    expect(times()).toBe(1);
  });

  it('breaks it once as well when that one was served later', () => {
    const { first, last, breakAgain, times } = thieves();
    last.waits(breakAgain);
    expect(times()).toBe(0);
    first.holds(held);
    last.waits(breakAgain);
    expect(times()).toBe(1);
  });

  it('breaks it anew when that failed, as soon as it hears that it still waits', async () => {
    const { first, last, breakAgain, times } = thieves(() => Promise.reject(new Error('away')));
    first.holds(held);
    last.waits(breakAgain);
    await Promise.resolve();
    last.waits(breakAgain);
    expect(times()).toBe(2);
  });
});
