import { LockBackendError, LockError } from '../../errors/index.js';
import { messageOf } from '../../text/shown.js';

/** The server did not answer in time: what was asked may have been done, and may still be. */
export class NoAnswerError extends Error {}

/** Things changed at the server while a request was under way: asked again, it is answered. */
export class ChangedMeanwhileError extends Error {}

/**
 * What etcd3 calls the errors that pass: all troubles of the way to the server and of its elections.
 * By name, for `instanceof` fails across two copies of etcd3, and all of them have the name `Error`. A
 * bundler may give them other names: then their words say the same.
 */
const PASSING = new Set([
  'GRPCUnavailableError',
  'GRPCDeadlineExceededError',
  'GRPCCancelledError',
  'GRPCInternalError',
  'GRPCUnknownError',
  'GRPCAbortedError',
  'BrokenCircuitError',
  'EtcdInvalidAuthTokenError',
  'EtcdLeaseInvalidError',
]);

/** The same as gRPC says it. */
const PASSING_STATUS =
  /^(1 CANCELLED|2 UNKNOWN|4 DEADLINE_EXCEEDED|10 ABORTED|13 INTERNAL|14 UNAVAILABLE): /;

const LEASE_GONE = 'requested lease not found';

/** Also these, some of which have no error class of their own: a channel that another call closed, and a passing overload. */
const PASSING_WORDS =
  /channel (has been|was) (shut down|closed)|too many requests|auth store is old|leader changed|no leader|invalid auth token|circuit breaker is open/i;

/** So gRPC says that a request found no connection. */
const UNSENT = 'No connection established';

const MENDS: readonly (readonly [words: RegExp, mend: string])[] = [
  [
    /database space exceeded/,
    'etcd is full: compact and defragment it, then disarm its alarm; locks need little.',
  ],
  [
    /permission denied/,
    'The etcd user needs readwrite rights for the prefix of the namespace: see docs/backends/etcd.md.',
  ],
  [/authentication failed|user name is empty/, 'Check auth: username and password.'],
  [/authentication is not enabled/, 'etcd knows no users: leave auth out, or enable it there.'],
  [/client was already closed/, 'The etcd client was closed by whoever made it.'],
];

/** Whether trying again may mend it. */
export function isPassing(error: unknown): boolean {
  if (error instanceof LockError) return false;
  if (error instanceof NoAnswerError || error instanceof ChangedMeanwhileError) return true;
  const message = messageOf(error);
  return (
    PASSING.has(nameOf(error)) ||
    PASSING_WORDS.test(message) ||
    PASSING_STATUS.test(message) ||
    isLeaseGone(error)
  );
}

/** Whether there was no connection to send it on. */
export function isUnsent(error: unknown): boolean {
  return messageOf(error).includes(UNSENT);
}

/** Whether a lease that was named in a request does not exist (any more). */
export function isLeaseGone(error: unknown): boolean {
  return nameOf(error) === 'EtcdLeaseInvalidError' || messageOf(error).includes(LEASE_GONE);
}

/** Whether the server does not know any more what was at a revision. */
export function isCompacted(error: unknown): boolean {
  return messageOf(error).includes('required revision has been compacted');
}

/** Whether the server answered with this error, so that what was asked is not done and never will be. */
export function isRefusal(error: unknown): boolean {
  return isLeaseGone(error) || !isPassing(error);
}

/** The error in the package's words, with what to do about it where that is known. */
export function toBackendError(error: unknown): LockError {
  if (error instanceof LockError) return error;
  const message = messageOf(error);
  const mend = MENDS.find(([words]) => words.test(message))?.[1];
  return new LockBackendError(`etcd: ${message}${mend ? ` (${mend})` : ''}`, undefined, {
    cause: error,
  });
}

function nameOf(error: unknown): string {
  return (error as { constructor?: { name?: string } } | undefined)?.constructor?.name ?? '';
}
