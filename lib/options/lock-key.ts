import { LockKeyError } from '../errors/index.js';
import { shown } from '../text/shown.js';

/** Longer ones are mistakes (a whole payload as key), and every backend has some limit. */
const MAX_KEY_BYTES = 1024;

/**
 * The keys to lock together: sorted, each once.
 * @throws LockKeyError when there is none, or for what {@link checkKey} refuses
 */
export function readKeys(keys: unknown): readonly string[] {
  if (!Array.isArray(keys))
    throw new LockKeyError(`key must be a string or an array of strings, got ${shown(keys)}`);
  if (keys.length === 0) throw new LockKeyError('key must name at least one key, got []');
  for (const key of keys) checkKey(key);
  return [...new Set(keys as readonly string[])].sort();
}

/** @throws LockKeyError unless it is a well-formed, non-empty string of at most 1024 bytes of UTF-8 */
export function checkKey(key: unknown): asserts key is string {
  if (typeof key !== 'string') throw new LockKeyError(`key must be a string, got ${shown(key)}`);
  if (key === '') throw new LockKeyError("key must not be empty, got ''");
  // A UTF-16 unit takes three bytes at most.
  if (key.length > MAX_KEY_BYTES / 3 && Buffer.byteLength(key) > MAX_KEY_BYTES) {
    const bytes = Buffer.byteLength(key);
    throw new LockKeyError(
      `key must be at most ${MAX_KEY_BYTES} bytes of UTF-8, got ${bytes}: ${shown(key)}`,
    );
  }
  if (!key.isWellFormed()) {
    throw new LockKeyError(
      `key must be well-formed Unicode, got a lone surrogate in ${shown(key)}`,
    );
  }
}
