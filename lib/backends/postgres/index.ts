export { PostgresBackend, type PostgresBackendOptions } from './postgres.backend.js';
export type {
  PooledClient,
  PostgresClient,
  PostgresOptions,
  PostgresPool,
} from './postgres-client.js';
export { migrate, migrateAt, migrationSql, type Migrated, type MigrateOptions } from './migrate.js';
