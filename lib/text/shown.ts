import { inspect } from 'node:util';

/** More of a value than this makes a message unreadable. */
const LONGEST = 100;

/** As many names of an object's properties. */
const MOST_NAMES = 5;

/**
 * What somebody gave, short enough for an error message. Of objects no more than the names of their
 * properties, and of URLs no credentials: whatever is refused may be a part of a configuration.
 */
export function shown(value: unknown): string {
  const text = inspected(value).replace(/\/\/\S*@/g, '//***@');
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

/**
 * The same for what should have been an address of a server, or stands where an address may: a
 * mistyped one shows its password nowhere.
 */
export function shownAddress(value: unknown): string {
  if (Array.isArray(value)) return shown(value.map(maskedAddress));
  return shown(maskedAddress(value));
}

/** The value of an option that nobody knows, which may be anything. */
export function shownOption(option: string, value: unknown): string {
  return /pass|secret|token|auth|credential|key/i.test(option) ? '***' : shownAddress(value);
}

/** What an error says. By its property: `instanceof Error` fails across realms, as in jest. */
export function messageOf(error: unknown): string {
  const { message } = (error ?? {}) as { message?: unknown };
  return withoutCredentials(typeof message === 'string' ? message : String(error));
}

/** The text without the credentials of well-formed URLs in it. */
export function withoutCredentials(text: string): string {
  return text.replace(/\/\/[^\s/@]*:[^\s/@]*@/g, '//***@');
}

function inspected(value: unknown): string {
  if (value instanceof Error) return String(value);
  if (isPlainObject(value)) {
    const names = Object.keys(value);
    const some = names.slice(0, MOST_NAMES).join(', ');
    if (names.length === 0) return '{}';
    return `{ ${some}${names.length > MOST_NAMES ? ', …' : ''} }`;
  }
  // The name of a class is shown, and nothing that its instance has.
  const depth = typeof value === 'object' && !Array.isArray(value) ? -1 : 0;
  return inspect(value, { depth, breakLength: Infinity, maxStringLength: 60, maxArrayLength: 5 });
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.prototype.toString.call(value) === '[object Object]';
}

/** A scheme, as it is or mistyped. */
const SCHEME = /^(rediss?|https?|tcp|tls|etcd)?:?\/*/i;

/** A host, a port and a path. */
const PLACE = /^([\w.-]+|\[[\da-f:.]+\])?(:\d{0,5})?(\/[\w.-]{0,20})*$/i;

/** Nothing before the last `@` but the scheme, no values of parameters, and nothing that is no host and port. */
function maskedAddress(address: unknown): unknown {
  if (typeof address !== 'string') return address;
  const scheme = SCHEME.exec(address)?.[0] ?? '';
  const rest = address.slice(scheme.length);
  const at = rest.lastIndexOf('@') + 1;
  const [place = '', parameters] = rest.slice(at).split('?', 2);
  const names = parameters?.replace(/(=|^)[^&=]*(?=&|$)/g, '$1***');
  const host = PLACE.test(place) ? place : '***';
  return [scheme, at > 0 && '***@', host, names && `?${names}`].filter(Boolean).join('');
}
