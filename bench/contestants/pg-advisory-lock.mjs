// pg_advisory_lock by hand: a session, and so a connection, for each lock and for each waiter.
const connections = 100;

export default {
  name: 'pg_advisory_lock',
  packages: ['pg'],
  store: 'postgres',
  fair: true,
  sessions: true,
  async connect({ postgres }) {
    const { default: pg } = await import('pg');
    const pool = new pg.Pool({ connectionString: postgres, max: connections });
    return {
      async acquire(key) {
        const client = await pool.connect();
        await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [key]);
        return {
          async release() {
            await client.query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [key]);
            client.release();
          },
        };
      },
    };
  },
};
