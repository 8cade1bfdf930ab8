// The limit on PostgreSQL, with a pool of pg: a row is inserted if it is absent, and deleted if it is still
// ours. No ttl, and no queue: a waiter tries again about every 10 ms.
import { randomUUID } from 'node:crypto';
import { shortPause } from './contestant.mjs';

const CREATE =
  'CREATE TABLE IF NOT EXISTS locks (key text PRIMARY KEY, owner text NOT NULL) WITH (fillfactor = 50)';
const INSERT = 'INSERT INTO locks VALUES ($1, $2) ON CONFLICT DO NOTHING';
const DELETE = 'DELETE FROM locks WHERE key = $1 AND owner = $2';

export default {
  name: 'raw/postgres',
  packages: ['pg'],
  store: 'postgres',
  async connect({ postgres }) {
    const { default: pg } = await import('pg');
    const pool = new pg.Pool({ connectionString: postgres });
    // Of several that come at once, one makes it.
    await pool.query(CREATE).catch(() => {});
    return {
      async acquire(key) {
        const owner = randomUUID();
        for (;;) {
          const { rowCount } = await pool.query(INSERT, [key, owner]);
          if (rowCount === 1) return { release: () => pool.query(DELETE, [key, owner]) };
          await shortPause();
        }
      },
    };
  },
};
