import { LockBackendError } from '../../errors/index.js';
import { messageOf } from '../../text/shown.js';

/**
 * SQLSTATEs that trying again, or at another server, mends: the connection, the server that starts or
 * stops, what was cancelled, transactions that were in each other's way, a standby.
 */
const PASSING = /^(08|40|57P0[1-5]|57014|53300|55P03|25006|25P0[34])/;

/** A standby refuses to write, in several words. */
const STANDBY = /during recovery|read-only/;

/** `{schema}` stands for the schema. */
const MENDS: readonly (readonly [code: RegExp, mend: string])[] = [
  [
    /^(3F000|42883|42P01|42703)/,
    'The schema {schema} is not there, or an older one: npx nestjs-lock postgres migrate',
  ],
  [/^42501/, 'The role lacks rights: GRANT USAGE ON SCHEMA {schema} TO it.'],
  [/^28/, 'PostgreSQL asks for other credentials: check user and password.'],
  [/^3D000/, 'Check the name of the database.'],
  [/^53100/, 'The disk of PostgreSQL is full: free some; locks need little.'],
  [/^53200/, 'PostgreSQL is out of memory.'],
];

/** What the server called it; '' where it said nothing, as of a lost connection. */
function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown };
  // Those of Node, such as ECONNREFUSED, have more letters.
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : '';
}

/** Whether trying again may mend it: all troubles of the connection, and some answers. */
export function isPassing(error: unknown): boolean {
  if (error instanceof LockBackendError) return false;
  const code = codeOf(error);
  return code === '' || PASSING.test(code) || isStandby(error);
}

/** Whether it is a server that does not take writes: a new connection may lead to another. */
export function isStandby(error: unknown): boolean {
  return /^(25006|0A000|55000)/.test(codeOf(error)) && STANDBY.test(messageOf(error));
}

/** The error in the package's words, with what to do about it where that is known. */
export function toBackendError(error: unknown, schema: string): LockBackendError {
  if (error instanceof LockBackendError) return error;
  const code = codeOf(error);
  const mend = MENDS.find(([codes]) => codes.test(code))?.[1].replace('{schema}', schema);
  const message = `PostgreSQL: ${messageOf(error)}${mend ? ` (${mend})` : ''}`;
  return new LockBackendError(message, undefined, { cause: error });
}
