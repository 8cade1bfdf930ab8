// The guard of a lock in transactions of what Nest applications speak to PostgreSQL with.
import { EntitySchema, MikroORM } from '@mikro-orm/postgresql';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { CompiledQuery, Kysely, PostgresDialect } from 'kysely';
import type { SqlGuard } from 'nestjs-lock';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { eventually } from '../support/eventually.js';
import { PostgresScene, queued } from '../support/postgres-scene.js';
import type { PostgresServer } from '../support/postgres-server.js';

/** Withdraws 10 in a transaction, first of all under the guard; what is to happen before the commit, is awaited. */
type Withdraw = (guard: SqlGuard, beforeCommit: () => Promise<void>) => Promise<void>;

const WITHDRAW = "UPDATE account SET balance = balance - 10 WHERE id = '7'";

describe("lock.guard('sql') in a transaction", () => {
  const scene = new PostgresScene();
  let server: PostgresServer;

  beforeAll(async () => {
    server = await scene.server();
    await server.query('CREATE TABLE account (id text PRIMARY KEY, balance integer NOT NULL)');
  });

  beforeEach(() => server.query("DELETE FROM account; INSERT INTO account VALUES ('7', 100)"));

  afterAll(() => scene.end());

  const balance = async () => (await server.query('SELECT balance FROM account'))[0]?.balance;

  function open(): pg.Pool {
    const pool = new pg.Pool({ connectionString: server.url });
    scene.also(() => (pool.ended ? undefined : pool.end()));
    return pool;
  }

  const recipes: Record<string, () => Promise<Withdraw>> = {
    async pg() {
      const pool = open();
      return async (guard, beforeCommit) => {
        const client = await pool.connect();
        try {
          await client.query('BEGIN');
          await client.query(guard);
          await client.query(WITHDRAW);
          await beforeCommit();
          await client.query('COMMIT');
        } catch (error) {
          await client.query('ROLLBACK');
          throw error;
        } finally {
          client.release();
        }
      };
    },

    async TypeORM() {
      const source = await new DataSource({ type: 'postgres', url: server.url }).initialize();
      scene.also(() => source.destroy());
      return (guard, beforeCommit) =>
        source.transaction(async (manager) => {
          await manager.query(guard.text, guard.values);
          await manager.query(WITHDRAW);
          await beforeCommit();
        });
    },

    async Kysely() {
      interface Tables {
        account: { id: string; balance: number };
      }
      const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: open() }) });
      scene.also(() => db.destroy());
      return (guard, beforeCommit) =>
        db.transaction().execute(async (transaction) => {
          await transaction.executeQuery(CompiledQuery.raw(guard.text, guard.values));
          await transaction
            .updateTable('account')
            .set((row) => ({ balance: row('balance', '-', 10) }))
            .where('id', '=', '7')
            .execute();
          await beforeCommit();
        });
    },

    async Drizzle() {
      const db = drizzle(open());
      return (guard, beforeCommit) =>
        db.transaction(async (transaction) => {
          const [namespace, key, id] = guard.values;
          await transaction.execute(sql`SELECT nestjs_lock.guard(${namespace}, ${key}, ${id})`);
          await transaction.execute(sql.raw(WITHDRAW));
          await beforeCommit();
        });
    },

    async MikroORM() {
      interface Account {
        id: string;
        balance: number;
      }
      const account = new EntitySchema<Account>({
        name: 'Account',
        tableName: 'account',
        properties: { id: { type: 'string', primary: true }, balance: { type: 'number' } },
      });
      const orm = await MikroORM.init({ clientUrl: server.url, entities: [account] });
      scene.also(() => orm.close());
      return (guard, beforeCommit) =>
        orm.em.fork().transactional(async (em) => {
          await em.execute(guard.text.replaceAll(/\$\d/g, '?'), guard.values);
          const found = await em.findOneOrFail(account, '7');
          found.balance -= 10;
          await em.flush();
          await beforeCommit();
        });
    },
  };

  describe.each(Object.entries(recipes))('of %s', (_, recipe) => {
    let withdraw: Withdraw;

    beforeAll(async () => {
      withdraw = await recipe();
    });

    it('holds off the end of the lease until the commit', async () => {
      const [holder, next] = [scene.at(server.url), scene.at(server.url)];
      const lock = await holder.acquire('k', { ttl: 500, renew: false });
      let read: Promise<unknown> | undefined;
      await withdraw(lock.guard('sql'), async () => {
        read = next.withLock('k', balance);
        await queued(next, 'k', 1);
        // The lease is over, for who holds it and for who looks.
        await eventually('its end', async () => (await next.inspect('k')).holders.length === 0);
        expect(await next.tryAcquire('k')).toBeNull();
        expect(await next.inspect('k')).toMatchObject({ holders: [], waiters: 1 });
      });
      expect(await read).toBe(90);
    });

    it('the late write of a paused holder is refused by the database itself', async () => {
      const [paused, next] = [scene.at(server.url), scene.at(server.url)];
      const lock = await paused.acquire('k', { ttl: 500, renew: false });
      const guard = lock.guard('sql');
      // It stands still from here on, and somebody else has its turn.
      await next.withLock('k', () => server.query('UPDATE account SET balance = 50'));
      const late = withdraw(guard, () => Promise.resolve());
      await expect(late).rejects.toThrow();
      expect(codesOf(await late.catch((error: unknown) => error))).toContain('NL001');
      expect(await balance()).toBe(50);
    });
  });
});

/** Of an error, and of those that it wraps. */
function codesOf(error: unknown): unknown[] {
  if (!(error instanceof Error)) return [];
  const { code, cause } = error as Error & { code?: unknown };
  return [code, ...codesOf(cause)];
}
