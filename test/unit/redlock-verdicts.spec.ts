import type { Reply } from '../../lib/backends/redlock/poll.js';
import type { Vote } from '../../lib/backends/redlock/vote.js';
import { isSplit } from '../../lib/backends/redlock/verdicts.js';

describe('votes', () => {
  const ours: Reply<Vote> = { value: { state: 'granted', token: 1 } };
  const down: Reply<Vote> = { error: new Error('down') };
  const unheard: Reply<Vote> = undefined;
  const named = (...holders: string[]): Reply<Vote> => ({
    value: { state: 'waiting', remaining: 1, holders, ticket: 1 },
  });
  const grace = named();

  it.each<[string, Reply<Vote>[]]>([
    ['are ours at some nodes', [ours, named('a:1'), named('a:1')]],
    ['are ours at one that can be reached', [ours, grace, down]],
    ['name different readers', [named('a:1', 'b:1'), named('c:1'), unheard]],
    ['name different holders', [named('a:1'), named('b:1'), unheard]],
  ])('that %s are split', (_, replies) => {
    expect(isSplit(replies, 2)).toBe(true);
  });

  it.each<[string, Reply<Vote>[]]>([
    ['name one holder', [named('a:1'), unheard, named('a:1')]],
    ['name one holder by a majority', [named('a:1'), named('b:1'), named('a:1')]],
    ['name a reader in common', [named('a:1', 'b:1'), named('b:1', 'c:1'), unheard]],
    ['name one holder, but for a node in its grace', [grace, named('a:1'), unheard]],
    ['name nobody', [grace, grace, down]],
  ])('that %s are not: nobody has to be asked again', (_, replies) => {
    expect(isSplit(replies, 2)).toBe(false);
  });
});
