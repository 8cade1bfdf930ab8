import { LockBackendError } from '../../errors/index.js';
import { messageOf } from '../../text/shown.js';

/** The server is there but cannot serve now; trying again, or elsewhere, mends it. */
const PASSING =
  /\b(READONLY|LOADING|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|MASTERDOWN|NOREPLICAS|UNBLOCKED)\b/;

/** Also in the words of a script, which is refused a command without a code. */
const LACKS_RIGHT = /\bNOPERM\b|user executing the script|ACL failure in script/;

const MENDS: readonly (readonly [code: RegExp, mend: string])[] = [
  [/\bOOM\b/, 'Redis is out of memory: raise maxmemory or free some; locks need little.'],
  [
    /\bWRONGTYPE\b/,
    'A key of another kind stands where a lock should be: choose another namespace.',
  ],
  [LACKS_RIGHT, 'The Redis user lacks rights: see the minimal ACL in docs/backends/redis.md.'],
  [/\b(NOAUTH|WRONGPASS)\b/, 'Redis asks for other credentials: check username and password.'],
  [/\bMISCONF\b/, 'Redis refuses writes since it cannot save to disk: see its own log.'],
];

/** Whether the server itself answered with this error, and not the way to it. */
export function isReply(error: unknown): boolean {
  return (error as { name?: unknown } | undefined)?.name === 'ReplyError';
}

/** What the server said of one of many requests that travelled together. */
export function replyError(message: string): Error {
  const error = new Error(message);
  error.name = 'ReplyError';
  return error;
}

/** Whether something else than other rights mends what the server said. */
export function hasMend(error: Error): boolean {
  return !LACKS_RIGHT.test(error.message) && MENDS.some(([code]) => code.test(error.message));
}

/** Whether trying again may mend it: all troubles of the connection, and some answers. */
export function isPassing(error: unknown): boolean {
  return !(error instanceof LockBackendError) && (!isReply(error) || PASSING.test(String(error)));
}

/** The error in the package's words, with what to do about it where that is known. */
export function toBackendError(error: unknown): LockBackendError {
  if (error instanceof LockBackendError) return error;
  const message = messageOf(error);
  const mend = MENDS.find(([code]) => code.test(message))?.[1];
  return new LockBackendError(`Redis: ${message}${mend ? ` (${mend})` : ''}`, undefined, {
    cause: error,
  });
}
