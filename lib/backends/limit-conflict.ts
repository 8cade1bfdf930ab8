import { LockConfigurationError } from '../errors/index.js';

/** Two callers do not agree how many may hold a key. */
export function limitConflict(key: string, asked: number, used: number): LockConfigurationError {
  return new LockConfigurationError(
    `limit of lock "${key}" is ${used} for those who use it now, got ${asked}: ` +
      'all who use a key at the same time must give the same limit',
    key,
  );
}
