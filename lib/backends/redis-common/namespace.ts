import { LockConfigurationError } from '../../errors/index.js';
import { shown } from '../../text/shown.js';

/** What a namespace can be at most, in UTF-16 units. */
const LONGEST_NAMESPACE = 200;

export function checkNamespace(namespace: unknown): asserts namespace is string {
  const fits =
    typeof namespace === 'string' &&
    /^[^{}\s]+$/.test(namespace) &&
    namespace.isWellFormed() &&
    namespace.length <= LONGEST_NAMESPACE;
  if (!fits) {
    throw new LockConfigurationError(
      `namespace must be a string of 1 to ${LONGEST_NAMESPACE} characters without braces and spaces, got ${shown(namespace)}`,
    );
  }
}
