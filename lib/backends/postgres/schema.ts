import { LockConfigurationError } from '../../errors/index.js';
import { shown } from '../../text/shown.js';
import { sources } from './scripts/sources.js';

/** Of the tables and functions in scripts/, and the oldest version whose clients they serve. */
const [VERSION, SERVES] = [1, 1];

export const DEFAULT_SCHEMA = 'nestjs_lock';

/** How the scripts name their schema. */
const SCHEMA = quoted(DEFAULT_SCHEMA);

/** The tables, by the version that brought them. */
const TABLES: Readonly<Record<number, string>> = { 1: sources['1-tables'] };

const FUNCTIONS = [
  sources['2-clock'],
  sources['3-steps'],
  sources['4-acquire'],
  sources['5-release'],
  sources['6-keep-alive'],
  sources['7-operators'],
  sources['8-guard'],
  sources['9-processes'],
];

/** Where it is there, its owner needs no right to make one. */
const CREATE_SCHEMA = `
DO $$
BEGIN
  IF to_regnamespace('"nestjs_lock"') IS NULL THEN
    CREATE SCHEMA "nestjs_lock";
  END IF;
END
$$;
`;

/** The tables that every grant writes, in the order in which the functions lock them. */
const WRITTEN = ['buckets', 'leases'];

/** Functions come and go with a version; rights to them come with the schema's. */
const DROP_FUNCTIONS = `
DO $$
DECLARE
  _function regprocedure;
BEGIN
  FOR _function IN SELECT oid FROM pg_proc WHERE pronamespace = '"nestjs_lock"'::regnamespace LOOP
    EXECUTE 'DROP FUNCTION ' || _function || ' CASCADE';
  END LOOP;
END
$$;
`;

/** An identifier, as it stands in a statement. */
export function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

/** What a name can be at most at the server, in bytes. */
const LONGEST_SCHEMA = 63;

export function checkSchema(schema: unknown): asserts schema is string {
  const fits =
    typeof schema === 'string' &&
    /^[\p{L}_][\p{L}\p{N}_$-]*$/u.test(schema) &&
    Buffer.byteLength(schema) <= LONGEST_SCHEMA;
  if (fits) return;
  throw new LockConfigurationError(
    `schema must be a name of letters, digits and underscores of at most ${LONGEST_SCHEMA} bytes, got ${shown(schema)}`,
  );
}

/**
 * What brings the schema from a version to today's, for one transaction.
 * @param schema quoted
 * @param from 0 when it is not there
 */
export function migration(schema: string, from: number): string {
  const tables = Object.entries(TABLES).filter(([version]) => Number(version) > from);
  return [
    CREATE_SCHEMA,
    ...tables.map(([, text]) => text),
    DROP_FUNCTIONS,
    ...FUNCTIONS,
    `DELETE FROM ${SCHEMA}.version;`,
    `INSERT INTO ${SCHEMA}.version VALUES (${VERSION}, ${SERVES});\n`,
  ]
    .join('\n')
    .replaceAll(SCHEMA, () => schema);
}

/**
 * What has each commit wait for the disk, or not: the tables are rewritten, unless they are that already.
 * @param schema quoted
 */
export function persistence(schema: string, unlogged: boolean): string {
  const persistent = unlogged ? 'UNLOGGED' : 'LOGGED';
  return WRITTEN.map((table) => `ALTER TABLE ${schema}.${table} SET ${persistent};\n`).join('');
}

/** What is wrong with the schema that was found; undefined when nothing is. */
export function checkVersion(version: number, serves: number, schema: string): string | undefined {
  if (version < VERSION) {
    return (
      `The schema ${schema} is of version ${version}, and this nestjs-lock needs ${VERSION}: ` +
      'npx nestjs-lock postgres migrate'
    );
  }
  if (serves > VERSION) {
    return (
      `The schema ${schema} is of version ${version}, which serves a nestjs-lock of ${serves} or newer, ` +
      `and this one is of ${VERSION}: update it`
    );
  }
  return undefined;
}

export { VERSION as SCHEMA_VERSION };
