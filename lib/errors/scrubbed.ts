import { BRAND } from './brand.js';
import { messageOf, withoutCredentials } from '../text/shown.js';

/** What an error may say. All else on it is for machines: a failed command with its arguments, say. */
const HARMLESS = new Set<PropertyKey>(['name', 'message', 'code', 'stack', 'cause', 'errors']);

/** Causes of causes are told so far. */
const DEEPEST = 8;

/**
 * The cause of one of our errors, which is logged with it: an error with its name, message, code and
 * stack, and nothing else that a client put on it, such as the login that failed with its password. One
 * that has no more than that is left as it is.
 */
export function scrubbed(cause: unknown, depth = 0): unknown {
  if (typeof cause !== 'object' || cause === null || BRAND in cause) return cause;
  if (depth > DEEPEST) return undefined;
  const { name, code, stack, cause: before, errors } = cause as Record<string, unknown>;
  const inner = scrubbed(before, depth + 1);
  const list: unknown = Array.isArray(errors)
    ? errors.map((one) => scrubbed(one, depth + 1))
    : undefined;
  if (isHarmless(cause) && inner === before && isSame(list, errors)) return cause;

  const copy = new Error(messageOf(cause), inner === undefined ? undefined : { cause: inner });
  const told = { name, stack: typeof stack === 'string' ? withoutCredentials(stack) : undefined };
  for (const [property, value] of Object.entries({ ...told, errors: list })) {
    if (value === undefined) continue;
    Object.defineProperty(copy, property, { value, configurable: true, writable: true });
  }
  return code === undefined ? copy : Object.assign(copy, { code });
}

function isHarmless(cause: object): boolean {
  if (!(cause instanceof Error)) return false;
  const { message, stack = '' } = cause;
  return (
    Reflect.ownKeys(cause).every((key) => HARMLESS.has(key)) &&
    [message, stack].every((text) => withoutCredentials(text) === text)
  );
}

function isSame(ours: unknown, theirs: unknown): boolean {
  if (!Array.isArray(ours) || !Array.isArray(theirs)) return ours === theirs;
  return ours.every((one, index) => one === theirs[index]);
}

/** What JSON is to say of a cause: errors have none of their own. */
export function causeInJson(cause: unknown, depth = 0): unknown {
  if (!(cause instanceof Error) || BRAND in cause) return cause;
  if (depth > DEEPEST) return undefined;
  const { name, message, cause: before, errors, code } = cause as Error & Record<string, unknown>;
  const list = Array.isArray(errors) ? errors.map((one) => causeInJson(one, depth + 1)) : undefined;
  return { name, message, code, errors: list, cause: causeInJson(before, depth + 1) };
}
