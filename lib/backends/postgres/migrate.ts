import pg from 'pg';
import { LockBackendError } from '../../errors/index.js';
import type { PostgresClient } from './postgres-client.js';
import { toBackendError } from './postgres-errors.js';
import { checkConnectionString } from './postgres-target.js';
import {
  checkSchema,
  DEFAULT_SCHEMA,
  migration,
  persistence,
  quoted,
  SCHEMA_VERSION,
} from './schema.js';

export interface MigrateOptions {
  /**
   * Whether grants are not written to the disk: they cost less, and after a crash of the server, or a
   * failover, all locks are lost, and nothing is granted until the longest ttl that was ever used is over.
   * @default as it is, and `false` where the schema is made
   */
  unlogged?: boolean | undefined;
}

export interface Migrated {
  /** The version of the schema before; 0 when it was not there. */
  readonly from: number;
  /** The version of it now. */
  readonly to: number;
}

/**
 * Makes the schema, or brings it up to date, in one transaction; does nothing when it is. Processes that use
 * it go on meanwhile. Needs the right to create schemas in the database, or else a schema that it owns.
 *
 * @param client connected, and in no transaction
 * @throws LockBackendError when the schema is of a newer nestjs-lock
 */
export async function migrate(
  client: Pick<PostgresClient, 'query'>,
  schema: string = DEFAULT_SCHEMA,
  { unlogged }: MigrateOptions = {},
): Promise<Migrated> {
  checkSchema(schema);
  const name = quoted(schema);
  await client.query('BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE');
  try {
    // One after the other, as several deploys may come at once.
    await client.query(
      `SELECT pg_advisory_xact_lock(hashtext('nestjs-lock'), hashtext('${name}'))`,
    );
    const from = await versionOf(client, name);
    if (from > SCHEMA_VERSION) {
      throw new LockBackendError(
        `The schema ${name} is of version ${from}, and this nestjs-lock makes ${SCHEMA_VERSION}: update it`,
      );
    }
    if (from < SCHEMA_VERSION) await client.query(migration(name, from));
    if (unlogged !== undefined) await client.query(persistence(name, unlogged));
    await client.query('COMMIT');
    return { from, to: SCHEMA_VERSION };
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

/**
 * The same on a connection of its own, which is closed in the end.
 * @throws LockBackendError with what went wrong
 */
export async function migrateAt(
  connectionString: string,
  schema: string = DEFAULT_SCHEMA,
  options: MigrateOptions = {},
): Promise<Migrated> {
  checkConnectionString('connectionString', connectionString);
  checkSchema(schema);
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await migrate(client, schema, options);
  } catch (error) {
    throw toBackendError(error, quoted(schema));
  } finally {
    await client.end();
  }
}

/** The same as text, for the migrations of your own: what makes the schema where it is not there. */
export function migrationSql(
  schema: string = DEFAULT_SCHEMA,
  { unlogged = false }: MigrateOptions = {},
): string {
  checkSchema(schema);
  const name = quoted(schema);
  return migration(name, 0) + (unlogged ? persistence(name, true) : '');
}

async function versionOf(client: Pick<PostgresClient, 'query'>, name: string): Promise<number> {
  const [found] = await rows(client, `SELECT to_regclass('${name}.version') AS found`);
  if (found?.found === null) return 0;
  const [row] = await rows(client, `SELECT version FROM ${name}.version`);
  return Number(row?.version);
}

async function rows(client: Pick<PostgresClient, 'query'>, text: string) {
  const result = (await client.query(text)) as { rows: Record<string, unknown>[] };
  return result.rows;
}
