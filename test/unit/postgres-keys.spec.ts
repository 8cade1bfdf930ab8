import fc from 'fast-check';
import { keyOfStored, likePattern, storedKey } from '../../lib/backends/postgres/stored-key.js';

/** Of what stands for something else in a key, in a pattern or in LIKE. */
const key = fc.string({
  unit: fc.constantFrom('\0', '\u0001', '0', 'e', 'k', '%', '_', '\\', '*', '?'),
});

it('each key is stored as one of its own, without NUL', () => {
  fc.assert(
    fc.property(key, (one) => {
      const stored = storedKey(one);
      expect(stored).not.toContain('\0');
      expect(keyOfStored(stored)).toBe(one);
    }),
  );
  expect(storedKey('order:7')).toBe('order:7');
});

it('nothing in a pattern but * and ? stands for anything else', () => {
  expect(likePattern('order:*')).toBe('order:%');
  expect(likePattern('a?b')).toBe('a%b');
  expect(likePattern('100%_\\')).toBe('100\\%\\_\\\\');
});
