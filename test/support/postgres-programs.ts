import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where Debian puts the programs of each version, which are not on the PATH. */
const DEBIAN = '/usr/lib/postgresql';

/** The path of a program of PostgreSQL: on the PATH, or of the newest that Debian has installed. */
export function postgresProgram(name: string): string {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).map(Number) : [];
  for (const version of versions.sort((one, other) => other - one)) {
    folders.push(join(DEBIAN, String(version), 'bin'));
  }
  const found = folders.map((folder) => join(folder, name)).find(existsSync);
  if (found === undefined) throw new Error(`the tests need ${name} of PostgreSQL: install it`);
  return found;
}
