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
 * @param slow how often there are steps that take their time, among about a hundred
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
  const follower = fc.record({ by: process, mode: terms.map(({ mode }) => mode) });
  const steps: { weight: number; arbitrary: fc.Arbitrary<Step> }[] = [
    {
      weight: 40,
      arbitrary: fc
        .tuple(
          process,
          key,
          terms,
          fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.constant(false)),
        )
        .map((given) => new Ask(...given)),
    },
    ...deeds
      .filter(([, { words }]) => supports.shared || !words.includes('downgrade'))
      .map(([weight, deed]) => ({ weight, arbitrary: pick.map((one) => new Do(deed, one)) })),
    {
      weight: 4,
      arbitrary: fc
        .uniqueArray(key, { minLength: 2 })
        .chain((keys) => terms.map((one) => new AskTogether(keys, one))),
    },
    { weight: 3, arbitrary: pick.map((one) => new LetGo(one)) },
    { weight: 3, arbitrary: key.map((one) => new ForceRelease(one)) },
    { weight: 8, arbitrary: key.map((one) => new Look(one)) },
    { weight: slow, arbitrary: process.map((one) => new Crash(one)) },
    {
      weight: slow,
      arbitrary: fc
        .tuple(process, key, terms, fc.array(follower, { maxLength: 3 }))
        .map((given) => new Expire(...given)),
    },
  ];
  return fc.commands([fc.oneof(...steps)], { maxCommands: LONGEST, size: 'max' });
}
