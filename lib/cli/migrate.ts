import { LockBackendError } from '../errors/index.js';
import { messageOf } from '../errors/shown.js';
import type { MigrateInvocation } from './arguments.js';
import { EXIT } from './exit-codes.js';
import { print } from './output.js';
import { withClient } from './stores.js';

/** Makes the schema of locks in PostgreSQL, or shows what would make it. */
export function migrate({ address, schema }: MigrateInvocation): Promise<number> {
  return withClient('pg', 'postgres', async () => {
    const postgres = await import('../backends/postgres/index.js');
    if (address === undefined) {
      print(`BEGIN;\n${postgres.migrationSql(schema)}COMMIT;`);
      return EXIT.ok;
    }
    const { from, to } = await postgres.migrateAt(address, schema).catch((error: unknown) => {
      if (error instanceof Error && 'key' in error) throw error;
      throw new LockBackendError(`PostgreSQL: ${messageOf(error)}`, undefined, { cause: error });
    });
    const was = from === 0 ? 'made' : `brought from version ${from}`;
    print(
      from === to ? `the schema is of version ${to}` : `the schema was ${was} to version ${to}`,
    );
    return EXIT.ok;
  });
}
