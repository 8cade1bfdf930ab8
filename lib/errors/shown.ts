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
