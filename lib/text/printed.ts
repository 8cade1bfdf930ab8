import { inspect, type InspectOptionsStylized } from 'node:util';

/** Node's own name of the method that `console.log` and loggers ask for a text. */
export const PRINTED: typeof inspect.custom = inspect.custom;

/**
 * An object in the log: `Name { … }` with these facts, and nothing of what else it has inside.
 * @param depth how many levels may still be shown; negative for none
 */
export function printed(
  name: string,
  facts: object,
  depth: number,
  options: InspectOptionsStylized,
): string {
  if (depth < 0) return options.stylize(`[${name}]`, 'special');
  const known = Object.entries(facts).filter(([, value]) => value !== undefined);
  return `${name} ${inspect(Object.fromEntries(known), options)}`;
}
