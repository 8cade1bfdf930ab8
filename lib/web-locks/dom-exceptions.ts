import type { LockLostError } from '../errors/index.js';

/** What the standard says of a use that it does not allow. */
export function notSupported(message: string): DOMException {
  return new DOMException(message, 'NotSupportedError');
}

/** What the standard says to whom a lock was stolen from. */
export function broken(lost: LockLostError): DOMException {
  return new DOMException(lost.message, { name: 'AbortError', cause: lost });
}
