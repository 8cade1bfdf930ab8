/** What text of PostgreSQL cannot have, and what stands for it there. */
const NUL = '\0';
const ESCAPE = '\u0001';

/** A key, as it stands in the tables: as it is, unless it has one of the two characters. */
export function storedKey(key: string): string {
  if (!key.includes(NUL) && !key.includes(ESCAPE)) return key;
  return key.replaceAll(ESCAPE, `${ESCAPE}e`).replaceAll(NUL, `${ESCAPE}0`);
}

export function keyOfStored(stored: string): string {
  if (!stored.includes(ESCAPE)) return stored;
  return stored.replaceAll(`${ESCAPE}0`, NUL).replaceAll(`${ESCAPE}e`, ESCAPE);
}

/** What LIKE is to match: all keys that are wanted, and perhaps more. */
export function likePattern(pattern: string): string {
  return storedKey(pattern)
    .replace(/[\\%_]/g, '\\$&')
    .replace(/[*?]/g, '%');
}
