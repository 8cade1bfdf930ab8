import type { InspectOptionsStylized } from 'node:util';
import { readDuration } from '../../options/duration.js';
import { LockConfigurationError } from '../../errors/index.js';
import { shown } from '../../text/shown.js';
import { checkIsOptions } from '../../options/option-checks.js';
import { PRINTED, printed } from '../../text/printed.js';
import type { BackendConnection, LockBackend, LockProcess } from '../lock-backend.js';
import { PostgresCalls } from './postgres-calls.js';
import type { PostgresOptions, PostgresPool } from './postgres-client.js';
import { PostgresConnection } from './postgres-connection.js';
import {
  checkConnectionString,
  openClient,
  openPool,
  type PostgresTarget,
  readTarget,
} from './postgres-target.js';
import { checkSchema, DEFAULT_SCHEMA, quoted } from './schema.js';

interface PostgresBackendSettings {
  /**
   * Where the tables and functions are, which `npx nestjs-lock postgres migrate` makes.
   * @default 'nestjs_lock'
   */
  schema?: string;

  /**
   * Keeps the locks of different applications in one schema apart.
   * @default 'nestjs-lock'
   */
  namespace?: string;

  /**
   * How long to wait for a connection and a reply before a statement is sent again. The server ends it
   * after that time as well. Callers are bound by their own `wait` in any case.
   * @default '2s'
   */
  commandTimeout?: number | string;

  /**
   * How waiters learn that it is their turn: by LISTEN, on a connection of their own, or where that cannot
   * be had by a look once a second.
   * @default 'listen'
   */
  wake?: 'listen' | 'poll';

  /**
   * The URL for the connection that listens, where the other address is that of a pooler such as pgbouncer.
   * @default the same as for all else
   */
  listenOn?: string;
}

/** Where the server is: exactly one of `connectionString`, `options` and `pool`. */
export type PostgresBackendOptions = PostgresBackendSettings &
  (
    | {
        /** `postgres://user:password@host:5432/database` */
        connectionString: string;
        options?: never;
        pool?: never;
      }
    | {
        /** Options of pg's Pool. */
        options: PostgresOptions;
        connectionString?: never;
        pool?: never;
      }
    | {
        /**
         * A Pool of pg 8. It is used for short statements, of which each is a transaction of its own, and never
         * closed. Renewals wait for one of its connections like everybody else: keep some free.
         */
        pool: PostgresPool;
        connectionString?: never;
        options?: never;
      }
  );

/**
 * Locks on PostgreSQL (13 or newer), for all processes that use the same namespace in the same schema
 * there. Rows, not advisory locks: they need no session, so that a pooler in transaction mode may be in
 * between.
 *
 * @throws LockConfigurationError for bad options
 */
export class PostgresBackend implements LockBackend {
  readonly name = 'postgres';
  readonly minTtl = 50;
  readonly supports = { shared: true, limit: true };
  /** Behind a function, into which no printer looks: it has credentials. */
  private readonly target: () => PostgresTarget;
  private readonly direct: () => string | undefined;
  private readonly schema: string;
  private readonly namespace: string;
  private readonly patience: number;
  private readonly wake: 'listen' | 'poll';

  constructor(options: PostgresBackendOptions) {
    checkIsOptions(options);
    const {
      schema = DEFAULT_SCHEMA,
      namespace = 'nestjs-lock',
      commandTimeout = '2s',
      wake = 'listen',
      listenOn,
      ...target
    } = options;
    checkSchema(schema);
    checkNamespace(namespace);
    checkWake(wake, listenOn);
    const where = readTarget(target);
    this.target = () => where;
    this.direct = () => listenOn;
    this.schema = schema;
    this.namespace = namespace;
    this.patience = readDuration('commandTimeout', commandTimeout);
    this.wake = wake;
  }

  connect(process: LockProcess): BackendConnection {
    const { namespace, patience } = this;
    const target = this.target();
    const schema = quoted(this.schema);
    const { pool, close } = openPool(target, patience);
    const calls = new PostgresCalls(pool, schema, patience);
    const listener =
      this.wake === 'listen' ? () => openClient(target, patience, this.direct()) : undefined;
    return new PostgresConnection(process, { calls, namespace, schema, listener, close });
  }

  /** @internal What is logged of it. */
  toJSON(): object {
    return { name: this.name, schema: this.schema, namespace: this.namespace };
  }

  /** @internal */
  [PRINTED](depth: number, options: InspectOptionsStylized): string {
    return printed('PostgresBackend', this.toJSON(), depth, options);
  }
}

/** What a namespace can be at most, in UTF-16 units: it is part of an index, as keys are. */
const LONGEST_NAMESPACE = 200;

function checkNamespace(namespace: unknown): asserts namespace is string {
  const fits =
    typeof namespace === 'string' &&
    /^[^\s\0]+$/.test(namespace) &&
    namespace.isWellFormed() &&
    namespace.length <= LONGEST_NAMESPACE;
  if (fits) return;
  throw new LockConfigurationError(
    `namespace must be a string of 1 to ${LONGEST_NAMESPACE} characters without spaces, got ${shown(namespace)}`,
  );
}

function checkWake(wake: unknown, listenOn: unknown): void {
  if (wake !== 'listen' && wake !== 'poll') {
    throw new LockConfigurationError(`wake must be 'listen' or 'poll', got ${shown(wake)}`);
  }
  if (listenOn === undefined) return;
  checkConnectionString('listenOn', listenOn);
  if (wake === 'poll') {
    throw new LockConfigurationError("listenOn is for wake: 'listen', got it with wake: 'poll'");
  }
}
