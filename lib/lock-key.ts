import { LockConfigurationError, LockKeyError } from './errors/index.js';
import { shown } from './errors/shown.js';

/** Longer ones are mistakes (a whole payload as key), and every backend has some limit. */
const MAX_KEY_BYTES = 1024;

/**
 * @throws LockKeyError unless it is a well-formed, non-empty string of at most 1024 bytes of UTF-8;
 * LockConfigurationError for several keys, which are not offered yet.
 */
export function checkKey(key: unknown): asserts key is string {
  if (Array.isArray(key)) {
    throw new LockConfigurationError(
      `key must be one string; several keys are not offered yet, got ${shown(key)}`,
    );
  }
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
