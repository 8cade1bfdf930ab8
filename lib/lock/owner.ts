import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { LockOwner } from '../interfaces/index.js';

/** Of the W3C's Trace Context. */
const TRACEPARENT = /^00-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/;

/** Long ones would be carried along with each request. */
const LONGEST_HOST = 64;

/**
 * An id that is unique to a process and says where it runs, so that each store that knows a request
 * knows whose it is: `<host>#<pid>#<label>#<random>`, free of spaces and colons.
 */
export function makeProcessId(label: string): string {
  const host = hostname().slice(0, LONGEST_HOST);
  const random = randomBytes(12).toString('base64url');
  return [host, String(process.pid), label, random].map(encodeURIComponent).join('#');
}

/** The process of a request, by its id. What others put there may have no colon. */
export function processIdOf(requestId: string): string {
  const [processId = ''] = requestId.split(':', 1);
  return processId;
}

/**
 * Whose request it is, by its id.
 * @param self the id of this process
 */
export function ownerOf(requestId: string, self: string): LockOwner {
  const [processId = '', traceparent = ''] = requestId.split(':', 2);
  const [host, pid, label] = processId.split('#');
  return {
    host: pid === undefined ? undefined : decode(host),
    pid: pid === undefined ? undefined : Number(pid),
    label: decode(label) || undefined,
    isSelf: processId === self,
    traceparent: TRACEPARENT.test(traceparent) ? traceparent : undefined,
  };
}

/** Others may have put there what they like. */
function decode(text = ''): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
