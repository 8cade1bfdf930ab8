import { LockConfigurationError } from '../errors/index.js';
import { shown, shownAddress } from '../text/shown.js';

/** @throws LockConfigurationError for what cannot carry options: also a Map or a Date, as it would be read as none */
export function checkIsOptions(options: unknown): asserts options is object {
  if (Object.prototype.toString.call(options) !== '[object Object]') {
    throw new LockConfigurationError(`options must be an object, got ${shownAddress(options)}`);
  }
}

/** @throws LockConfigurationError for anything but undefined and non-empty strings */
export function checkName(name: unknown): asserts name is string | undefined {
  if (name !== undefined && (typeof name !== 'string' || name === '')) {
    throw new LockConfigurationError(`name must be a non-empty string, got ${shown(name)}`);
  }
}

/** Also by its tag: in a test environment such as jsdom the global class need not be the one that made it. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  return (
    value instanceof AbortSignal || Object.prototype.toString.call(value) === '[object AbortSignal]'
  );
}
