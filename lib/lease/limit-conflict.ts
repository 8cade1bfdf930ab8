import { LockConfigurationError } from '../errors/index.js';

/** Who has another limit than those who use a key cannot have it at once. */
export function limitConflict(key: string, asked: number, used: number): LockConfigurationError {
  return new LockConfigurationError(
    `limit of lock "${key}" is ${used} for those who use it now, got ${asked}: ` +
      'nobody is let in beside them with another limit',
    key,
  );
}
