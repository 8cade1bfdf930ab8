import pg from 'pg';
import { LockConfigurationError } from '../../errors/index.js';
import { shown, shownAddress, shownOption } from '../../text/shown.js';
import { checkIsOptions } from '../../options/option-checks.js';
import type { OwnClient, PostgresOptions, PostgresPool } from './postgres-client.js';

/** Where the server is. */
export type PostgresTarget =
  | { readonly connectionString: string }
  | { readonly options: PostgresOptions }
  | { readonly pool: PostgresPool };

/** How each way to say where the server is, is checked. */
const WAYS: Readonly<Record<string, (value: unknown) => void>> = {
  connectionString: (value) => {
    checkConnectionString('connectionString', value);
  },
  options: checkIsOptions,
  pool: checkPool,
};

/** Connections of a pool of our own, unless its options say it. */
const MOST = 5;

/** How we show in pg_stat_activity, unless the options say it. */
const NAME = 'nestjs-lock';

export function readTarget(given: Record<string, unknown>): PostgresTarget {
  const named = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [option, value] of named) {
    if (Object.hasOwn(WAYS, option)) continue;
    throw new LockConfigurationError(
      `unknown option ${shown(option)} of PostgresBackend, got ${shownOption(option, value)}`,
    );
  }
  const [way, another] = named;
  if (way === undefined || another !== undefined) {
    throw new LockConfigurationError(
      `PostgresBackend needs exactly one of connectionString, options and pool, got ${shown(named.map(([option]) => option))}`,
    );
  }
  const [option, value] = way;
  WAYS[option]?.(value);
  return Object.fromEntries([way]) as PostgresTarget;
}

export function checkConnectionString(option: string, value: unknown): asserts value is string {
  if (typeof value === 'string' && /^postgres(ql)?:\/\//.test(value) && URL.canParse(value)) return;
  throw new LockConfigurationError(
    `${option} must be a postgres:// or postgresql:// URL, got ${shownAddress(value)}`,
  );
}

function checkPool(pool: unknown): void {
  const { connect, options } = (pool ?? {}) as Partial<PostgresPool>;
  if (typeof connect === 'function' && typeof options === 'object') return;
  throw new LockConfigurationError(`pool must be a Pool of pg, got ${shownAddress(pool)}`);
}

/** A pool for statements, and what closes it, if it is ours. */
export function openPool(target: PostgresTarget, patience: number) {
  if ('pool' in target) return { pool: target.pool, close: () => Promise.resolve() };
  const own = new pg.Pool({
    max: MOST,
    application_name: NAME,
    keepAlive: true,
    allowExitOnIdle: true,
    connectionTimeoutMillis: patience,
    ...optionsOf(target),
  });
  // Whoever uses a connection hears of its end; of one that nobody uses, nobody needs to.
  own.on('error', () => undefined);
  return { pool: own as PostgresPool, close: () => own.end() };
}

/** A connection of our own to the same server, or to a given one. Not connected yet. */
export function openClient(target: PostgresTarget, patience: number, direct?: string): OwnClient {
  const options = direct === undefined ? optionsOf(target) : { connectionString: direct };
  // With what is hidden from printers, as passwords are.
  const copied = Object.create(null, Object.getOwnPropertyDescriptors(options)) as object;
  const own = { application_name: NAME, keepAlive: true, connectionTimeoutMillis: patience };
  return new pg.Client(Object.assign(copied, own));
}

function optionsOf(target: PostgresTarget): object {
  if ('pool' in target) return target.pool.options;
  return 'options' in target ? target.options : { connectionString: target.connectionString };
}
