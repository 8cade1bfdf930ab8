import type { MigrateInvocation } from './arguments.js';
import { EXIT } from './exit-codes.js';
import { print } from './output.js';
import { withClient } from './stores.js';

/** Makes the schema of locks in PostgreSQL, or shows what would make it. */
export function migrate({ address, schema, unlogged }: MigrateInvocation): Promise<number> {
  return withClient('pg', 'postgres', async () => {
    const postgres = await import('../backends/postgres/index.js');
    if (address === undefined) {
      print(`BEGIN;\n${postgres.migrationSql(schema, { unlogged })}COMMIT;`);
      return EXIT.ok;
    }
    const { from, to } = await postgres.migrateAt(address, schema, { unlogged });
    if (from === to) print(`the schema is of version ${to} already`);
    else if (from === 0) print(`the schema was made, of version ${to}`);
    else print(`the schema was brought from version ${from} to ${to}`);
    return EXIT.ok;
  });
}
