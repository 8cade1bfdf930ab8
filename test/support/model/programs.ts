import fc from 'fast-check';
import type { BackendSupport } from '../../../lib/backends/lock-backend.js';
import { Ask, deeds, Do, ForceRelease, Look, type Step } from './commands.js';
import { Crash, Expire } from './ending.js';
import type { Terms } from './model-world.js';
import { AskTogether, LetGo } from './together.js';

/** A program has so many steps at most. */
const LONGEST = 60;

/** Terms on which a key can be asked for, with how often they are. */
const TERMS: readonly (Terms & { weight: number; needs?: keyof BackendSupport })[] = [
  { weight: 4, mode: 'exclusive', limit: 1 },
  { weight: 5, mode: 'shared', limit: 1, needs: 'shared' },
  { weight: 3, mode: 'exclusive', limit: 2, needs: 'limit' },
  { weight: 1, mode: 'exclusive', limit: 3, needs: 'limit' },
];

/**
 * Random programs for a store that supports this.
 *
 * @param slow how many of a thousand steps crash a process, and how many let a lease expire
 */
export function programs(supports: BackendSupport, slow: number) {
  const process = fc.nat(2);
  const key = fc.nat(2);
  const pick = fc.nat(99);
  const terms = fc.oneof(
    ...TERMS.filter(({ needs }) => needs === undefined || supports[needs]).map(
      ({ weight, mode, limit }) => ({ weight, arbitrary: fc.constant<Terms>({ mode, limit }) }),
    ),
  );
  const queue = fc.constantFrom(true, true, true, false);
  const follower = fc.record({ by: process, terms });
  const followers = fc.array(follower, { maxLength: 3 });
  const keys = fc.uniqueArray(key, { minLength: 2 });

  const quick: [percent: number, fc.Arbitrary<Step>][] = [
    [40, fc.tuple(process, key, terms, queue).map((given) => new Ask(...given))],
    ...deeds
      .filter(({ needs }) => needs === undefined || supports[needs])
      .map((deed): [number, fc.Arbitrary<Step>] => [
        deed.percent,
        pick.map((one) => new Do(deed, one)),
      ]),
    [4, fc.tuple(keys, terms).map((given) => new AskTogether(...given))],
    [3, pick.map((one) => new LetGo(one))],
    [3, key.map((one) => new ForceRelease(one))],
    [8, key.map((one) => new Look(one))],
  ];
  const step = fc.oneof(
    ...quick.map(([percent, arbitrary]) => ({ weight: 10 * percent, arbitrary })),
    { weight: slow, arbitrary: process.map((one) => new Crash(one)) },
    {
      weight: slow,
      arbitrary: fc.tuple(process, key, terms, followers).map((given) => new Expire(...given)),
    },
  );
  return fc.commands([step], { maxCommands: LONGEST, size: 'max' });
}
