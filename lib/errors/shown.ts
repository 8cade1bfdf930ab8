import { inspect } from 'node:util';

/** What somebody gave, short enough for an error message. */
export function shown(value: unknown): string {
  return inspect(value, {
    depth: 0,
    breakLength: Infinity,
    maxStringLength: 60,
    maxArrayLength: 5,
  });
}

/** What an error says. By its property: `instanceof Error` fails across realms, as in jest. */
export function messageOf(error: unknown): string {
  const { message } = (error ?? {}) as { message?: unknown };
  return typeof message === 'string' ? message : String(error);
}
