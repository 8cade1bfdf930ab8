import { inspect } from 'node:util';

/** More of a value than this makes a message unreadable. */
const LONGEST = 100;

/** What somebody gave, short enough for an error message, and without the credentials of a URL. */
export function shown(value: unknown): string {
  const full =
    value instanceof Error
      ? String(value)
      : inspect(value, { depth: 0, breakLength: Infinity, maxStringLength: 60, maxArrayLength: 5 });
  const text = full.replace(/\/\/\S*@/, '//***@');
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

/** What an error says. By its property: `instanceof Error` fails across realms, as in jest. */
export function messageOf(error: unknown): string {
  const { message } = (error ?? {}) as { message?: unknown };
  return typeof message === 'string' ? message : String(error);
}
