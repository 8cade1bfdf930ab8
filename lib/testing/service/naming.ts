import assert from 'node:assert/strict';
import type { Chapter } from '../chapter.js';
import { LONG, soon } from '../patience.js';

/** Names that some store, separator or pattern could take for something else, or for each other. */
const NAMES: readonly string[] = [
  'k',
  'K',
  ' k',
  'k ',
  'k k',
  'k\n',
  'k\r\n',
  'k\t',
  'k\0',
  'k\0k',
  '\0',
  ' ',
  '{',
  '}',
  '{}',
  '{k}',
  'k}{k',
  'a}{b',
  '{{k}}',
  'k:k',
  ':k',
  'k:',
  ':',
  'k/k',
  '/k',
  '../k',
  '.',
  '..',
  'k*',
  'k?',
  '[k]',
  '%6b',
  '%',
  '\\',
  '"k"',
  "'k'",
  '$k',
  'null',
  'undefined',
  '__proto__',
  'constructor',
  '0',
  '-1',
  '1e400',
  'é',
  'e\u0301', // the same to the eye
  'ключ',
  '鍵',
  'مفتاح',
  '🔒',
  '👩‍🔧',
  '\uFEFFk',
  '\u200Bk',
  '\u{10FFFF}',
  'x'.repeat(1024),
  `${'x'.repeat(1023)}y`,
  '鍵'.repeat(341),
];

export const naming: Chapter = {
  title: 'keys',
  tests: {
    'whatever their letters, each is a lock of its own': async (world) => {
      const [locks, other] = [world.service(), world.service()];
      const held = await Promise.all(
        NAMES.map(async (key) => {
          const lock = await locks.tryAcquire(key);
          assert.ok(lock, `${JSON.stringify(key)} is taken for another name`);
          assert.equal(lock.key, key);
          return lock;
        }),
      );
      for (const [n, key] of NAMES.entries()) {
        assert.equal(await other.tryAcquire(key), null, JSON.stringify(key));
        const { holders } = await other.inspect(key);
        assert.deepEqual(
          holders.map(({ fencingToken }) => fencingToken),
          [held[n]?.fencingToken],
        );
      }
    },

    'whatever their letters, they are renewed, handed over and released': async (world) => {
      const [locks, other] = [world.service(), world.service()];
      await Promise.all(
        NAMES.map(async (key) => {
          const lock = await locks.acquire(key);
          const next = other.acquire(key, { wait: LONG });
          await lock.renew();
          assert.equal(await lock.release(), 'released', JSON.stringify(key));
          const following = await soon(JSON.stringify(key), next);
          await following.renew();
          assert.equal(await following.release(), 'released');
        }),
      );
      for (const key of NAMES) assert.deepEqual((await locks.inspect(key)).holders, []);
    },
  },
};
