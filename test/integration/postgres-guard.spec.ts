// What a lock and the data in one database can do together: a transaction that commits only under the lock.
import type { LockService } from 'nestjs-lock';
import pg from 'pg';
import { eventually } from '../support/eventually.js';
import { PostgresScene, queued } from '../support/postgres-scene.js';
import type { PostgresServer } from '../support/postgres-server.js';

describe("lock.guard('sql')", () => {
  const scene = new PostgresScene();
  let server: PostgresServer;
  let pool: pg.Pool;

  beforeAll(async () => {
    server = await scene.server();
    pool = new pg.Pool({ connectionString: server.url });
    scene.also(() => pool.end());
    await pool.query('CREATE TABLE account (id text PRIMARY KEY, balance integer NOT NULL)');
  });

  beforeEach(() => pool.query("TRUNCATE account; INSERT INTO account VALUES ('7', 100)"));

  afterAll(() => scene.end());

  const balance = async () => {
    const { rows } = await pool.query<{ balance: number }>('SELECT balance FROM account');
    return rows[0]?.balance;
  };

  async function transaction(body: (client: pg.PoolClient) => Promise<void>): Promise<void> {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await body(client);
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
  }

  const leases = (key: string) =>
    server.query('SELECT id FROM nestjs_lock.leases WHERE key = $1', [key]);

  it('lets a transaction commit while the lock is held', async () => {
    await scene.at(server.url).withLock('account:7', (lock) =>
      transaction(async (client) => {
        await client.query(lock.guard('sql'));
        await client.query('UPDATE account SET balance = balance - 10');
      }),
    );
    expect(await balance()).toBe(90);
    expect(await leases('account:7')).toEqual([]);
  });

  it('the late write of a paused holder is refused by the database itself', async () => {
    const [paused, next] = [scene.at(server.url), scene.at(server.url)];
    const lock = await paused.acquire('paused', { ttl: 500, renew: false });
    const guard = lock.guard('sql');
    // It stands still from here on, and somebody else has its turn.
    await next.withLock('paused', () => pool.query('UPDATE account SET balance = 50'));
    const late = transaction(async (client) => {
      await client.query(guard);
      await client.query('UPDATE account SET balance = 90');
    });
    await expect(late).rejects.toMatchObject({
      code: 'NL001',
      message: 'the lock "paused" is not held any more',
    });
    expect(await balance()).toBe(50);
    expect(() => lock.guard('sql')).toThrow('was lost');
  });

  it('nobody else is granted the lock before the transaction has ended', async () => {
    const [holder, next] = [scene.at(server.url), scene.at(server.url)];
    const lock = await holder.acquire('slow', { ttl: 2_000, renew: false });
    let entered = false;
    let read: number | undefined;
    let granted: Promise<void> | undefined;
    await transaction(async (client) => {
      await client.query(lock.guard('sql'));
      await client.query('UPDATE account SET balance = balance - 10');
      granted = next.withLock('slow', async () => {
        entered = true;
        read = await balance();
      });
      await queued(next, 'slow', 1);
      // The lease is over, for who holds it and for who looks.
      await eventually('its end', async () => (await next.inspect('slow')).holders.length === 0);
      expect(lock.held).toBe(false);
      expect(await next.tryAcquire('slow')).toBeNull();
      expect(entered).toBe(false);
    });
    await granted;
    expect(read).toBe(90);
  });

  it('a transaction that rolls back, or whose connection is lost, holds nothing off', async () => {
    const [holder, next] = [scene.at(server.url), scene.at(server.url)];
    const lock = await holder.acquire('dead', { ttl: 2_000, renew: false });
    const client = new pg.Client(server.url);
    client.on('error', () => undefined);
    await client.connect();
    await client.query('BEGIN');
    await client.query(lock.guard('sql'));
    const granted = next.acquire('dead');
    await queued(next, 'dead', 1);
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await pool.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
    expect(await (await granted).release()).toBe('released');
  });

  it('the lock is renewed, given back and broken meanwhile without waiting for the transaction', async () => {
    const [holder, operator] = [scene.at(server.url), scene.at(server.url)];
    const take = async (key: string, body: (lock: Lock) => Promise<void>) => {
      const lock = await holder.acquire(key, { ttl: '30s' });
      await transaction(async (client) => {
        await client.query(lock.guard('sql'));
        await body(lock);
        // What the guard holds may be nobody's, and is not free.
        expect(await operator.tryAcquire(key)).toBeNull();
      });
      await lock.release();
      await operator.withLock(key, () => undefined);
      expect(await leases(key)).toEqual([]);
    };
    await take('renewed', (lock) => lock.renew('1m'));
    await take('released', async (lock) => {
      expect(await lock.release()).toBe('released');
    });
    await take('broken', async (lock) => {
      expect(await operator.forceRelease('broken')).toBe(1);
      await eventually('the loss', () => !lock.held);
    });
  });

  it('one that is released, or whose key is only kept, is not held', async () => {
    const service = scene.at(server.url);
    const lock = await service.acquire('kept', { minHold: '1m' });
    const guard = lock.guard('sql');
    await lock.release();
    await expect(pool.query(guard)).rejects.toThrow('is not held any more');
    expect(await service.forceRelease('kept')).toBe(1);
  });

  it('there is none for several keys, and no other kind', async () => {
    const service: LockService = scene.at(server.url);
    const lock = await service.acquire('kinds');
    expect(() => lock.guard()).toThrow('has no guard() on its backend');
    await lock.release();
    const several = await service.acquire(['kinds', 'other kinds']);
    expect(() => several.guard('sql')).toThrow('a guard for each key');
    await several.release();
  });
});

type Lock = Awaited<ReturnType<LockService['acquire']>>;
