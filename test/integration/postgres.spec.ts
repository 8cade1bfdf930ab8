import { setTimeout as sleep } from 'node:timers/promises';
import { type LockBackend, LockConfigurationError } from 'nestjs-lock';
import {
  migrate,
  migrationSql,
  PostgresBackend,
  type PostgresBackendOptions,
} from 'nestjs-lock/postgres';
import pg from 'pg';
import { eventually } from '../support/eventually.js';
import { entered, violations, visit } from '../support/history.js';
import { PgBouncer } from '../support/pgbouncer.js';
import { PostgresScene, queued } from '../support/postgres-scene.js';
import type { PostgresServer } from '../support/postgres-server.js';

describe('PostgreSQL', () => {
  const scene = new PostgresScene();
  let server: PostgresServer;

  beforeAll(async () => {
    server = await scene.server();
  });

  afterAll(() => scene.end());

  /** A pool that counts what is sent on it. */
  function countingPool(): { pool: pg.Pool; count: () => number } {
    const pool = new pg.Pool({ connectionString: server.url });
    scene.also(() => (pool.ended ? undefined : pool.end()));
    let count = 0;
    pool.on('acquire', () => count++);
    return { pool, count: () => count };
  }

  it('uses the pool that it is given for short statements, and does not close it', async () => {
    const { pool } = countingPool();
    const service = scene.service(new PostgresBackend({ pool }));
    const lock = await service.acquire('k');
    expect(pool.idleCount).toBe(pool.totalCount);
    await lock.release();
    await service.close();
    expect(pool.ended).toBe(false);
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    // Nothing that belongs to a session was left on it.
    const { rows } = await pool.query(
      "SELECT (SELECT count(*) FROM pg_prepared_statements) AS prepared, (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks, current_setting('statement_timeout') AS timeout",
    );
    expect(rows).toEqual([{ prepared: '0', locks: '0', timeout: '0' }]);
  });

  it('takes a lock with one statement, and gives it back with one', async () => {
    const { pool, count } = countingPool();
    const service = scene.service(new PostgresBackend({ pool }));
    await service.withLock('warm up', () => undefined);
    await sleep(50);
    const before = count();
    const lock = await service.acquire('k');
    expect(count()).toBe(before + 1);
    await lock.release();
    expect(count()).toBe(before + 2);
  });

  it('a heartbeat answers in the order in which it asks, by whatever plan the server goes', async () => {
    const holder = scene.at(server.url);
    const lock = await holder.acquire('asked about');
    const waiter = scene.at(server.url);
    const waiting = waiter.acquire('asked about');
    await queued(holder, 'asked about', 1);
    const client = new pg.Client(server.url);
    await client.connect();
    try {
      const { rows: known } = await client.query<{ namespace: string; id: string; key: string }>(
        `SELECT namespace, id, key FROM nestjs_lock.waiters WHERE key = 'asked about'`,
      );
      const gone = (n: number) => ({ id: `nobody:${n}`, key: 'asked about' });
      for (const plan of ['nestloop', 'hashjoin', 'mergejoin']) {
        const others = ['nestloop', 'hashjoin', 'mergejoin'].filter((one) => one !== plan);
        for (const one of others) await client.query(`SET enable_${one} = off`);
        const { rows } = await client.query<{ reply: string }>(
          'SELECT nestjs_lock.heartbeat($1, 3500, true, $2) AS reply',
          [known[0]!.namespace, JSON.stringify([gone(2), ...known, gone(1)])],
        );
        const [, , ...answers] = JSON.parse(rows[0]!.reply) as [string, number, ...[string][]];
        expect([plan, answers.map(([state]) => state)]).toEqual([
          plan,
          ['dropped', 'waiting', 'dropped'],
        ]);
        await client.query('RESET ALL');
      }
    } finally {
      await client.end();
    }
    await lock.release();
    await (await waiting).release();
  });

  it('renews a lease whose row another step has in its hands for a moment', async () => {
    const lock = await scene.at(server.url).acquire('in hands');
    const client = new pg.Client(server.url);
    await client.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SELECT FROM nestjs_lock.leases WHERE key = 'in hands' FOR UPDATE`);
      const renewal = lock.renew();
      // It has been asked for by then, or is after that.
      await sleep(20);
      await client.query('COMMIT');
      await renewal;
    } finally {
      await client.end();
    }
    expect(await lock.release()).toBe('released');
  });

  it('what is asked in one turn goes in one statement', async () => {
    const { pool, count } = countingPool();
    const service = scene.service(new PostgresBackend({ pool }));
    await service.withLock('warm up', () => undefined);
    await sleep(50);
    const before = count();
    const locks = await Promise.all(
      Array.from({ length: 20 }, (_, n) => service.acquire(`together ${n}`)),
    );
    await Promise.all(locks.map((lock) => lock.release()));
    expect(count()).toBe(before + 2);
  });

  it.each(['listen', 'poll'] as const)(
    'many who wait cost one statement a second, when they %s',
    async (wake) => {
      const { pool, count } = countingPool();
      const holder = scene.at(server.url);
      const waiter = scene.service(new PostgresBackend({ pool, wake }));
      const keys = Array.from({ length: 20 }, (_, n) => `${wake} ${n}`);
      const held = await Promise.all(keys.map((key) => holder.acquire(key)));
      const waiting = keys.map((key) => waiter.acquire(key));
      for (const key of keys) await queued(holder, key, 1);
      const [before, start] = [count(), performance.now()];
      await sleep(4_000);
      const seconds = (performance.now() - start) / 1_000;
      expect(count() - before).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
      await Promise.all(held.map((lock) => lock.release()));
      for (const lock of await Promise.all(waiting)) await lock.release();
    },
  );

  it('waiters who only look are served in their order, also with a short ttl', async () => {
    const where: PostgresBackendOptions = { connectionString: server.url, wake: 'poll' };
    const services = [scene.at(where), scene.at(where), scene.at(where)];
    const first = await entered(services[0]!.acquire('looked for', { ttl: 300 }));
    const order: number[] = [];
    const visits = [];
    for (const [n, service] of services.entries()) {
      visits.push(
        entered(service.acquire('looked for', { ttl: 300 })).then(async (granted) => {
          order.push(n);
          const stay = visit('looked for', granted);
          await granted.lock.release();
          return stay;
        }),
      );
      await queued(services[0]!, 'looked for', n + 1);
    }
    const stay = visit('looked for', first);
    await first.lock.release();
    expect(violations([stay, ...(await Promise.all(visits))])).toEqual([]);
    expect(order).toEqual([0, 1, 2]);
  });

  describe('through pgbouncer, in transaction mode', () => {
    let bouncer: PgBouncer;

    beforeAll(async () => {
      bouncer = await PgBouncer.start(server.port);
      scene.also(() => bouncer.stop());
    });

    it.each<[string, () => Partial<PostgresBackendOptions>]>([
      ['waiters look', () => ({ wake: 'poll' })],
      ['waiters listen on a direct connection', () => ({ listenOn: server.url })],
      ['waiters listen where nothing comes through', () => ({})],
    ])('locks are exclusive, and handed over, where %s', async (name, more) => {
      const where = {
        connectionString: bouncer.url,
        namespace: name.replaceAll(' ', '-'),
        ...more(),
      } as PostgresBackendOptions;
      const services = [scene.at(where), scene.at(where), scene.at(where)];
      let inside = 0;
      const tokens: number[] = [];
      await Promise.all(
        Array.from({ length: 12 }, (_, n) =>
          services[n % 3]!.withLock('k', async (lock) => {
            expect(++inside).toBe(1);
            tokens.push(lock.fencingToken);
            await sleep(5);
            inside--;
          }),
        ),
      );
      expect(tokens).toEqual([...tokens].sort((one, other) => one - other));
    });

    it('is found out, and told with its mend', async () => {
      const warnings: string[] = [];
      const backend = new PostgresBackend({ connectionString: bouncer.url, commandTimeout: 300 });
      const connection = backend.connect({
        id: 'p',
        warn: (message) => warnings.push(message),
        lost: () => undefined,
        revoked: () => undefined,
      });
      await eventually('the warning', () => warnings.length > 0);
      expect(warnings[0]).toMatch(/do not come through.*listenOn.*wake: 'poll'/);
      await connection.close();
    });
  });

  describe('the schema', () => {
    it('is made once, however many come at once, under any name', async () => {
      const made = await Promise.all(
        [1, 2, 3].map(() => server.ask((client) => migrate(client, 'Shop-locks'))),
      );
      expect(made.map(({ from }) => from).sort()).toEqual([0, 1, 1]);
      const service = scene.at({ connectionString: server.url, schema: 'Shop-locks' });
      const lock = await service.acquire('k');
      expect(await server.query('SELECT key FROM "Shop-locks".leases')).toEqual([{ key: 'k' }]);
      await server.query(lock.guard('sql').text, lock.guard('sql').values);
      await lock.release();
    });

    it('is made anew over the functions of another version, while locks are held', async () => {
      const service = scene.at(server.url);
      const lock = await service.acquire('migrated', { ttl: 20_000 });
      await server.query('UPDATE nestjs_lock.version SET version = 0, serves = 0');
      await expect(scene.at(server.url).acquire('k')).rejects.toThrow(
        'is of version 0, and this nestjs-lock needs 1: npx nestjs-lock postgres migrate',
      );
      await server.query('UPDATE nestjs_lock.version SET version = 9, serves = 9');
      await expect(scene.at(server.url).acquire('k')).rejects.toThrow(/serves .* 9 .* update it/);
      await expect(server.ask(migrate)).rejects.toThrow('is of version 9');
      await server.query('UPDATE nestjs_lock.version SET version = 1, serves = 1');
      expect(await server.ask(migrate)).toEqual({ from: 1, to: 1 });
      await lock.renew();
      expect(await lock.release()).toBe('released');
    });

    it('is text for migrations of your own', async () => {
      await server.query('CREATE ROLE owner LOGIN');
      await server.query('CREATE SCHEMA own AUTHORIZATION owner');
      await server.ask(async (client) => {
        await client.query('SET ROLE owner');
        await client.query(migrationSql('own', { unlogged: true }));
      });
      const service = scene.at({ connectionString: server.as('owner'), schema: 'own' });
      expect(await service.withLock('k', ({ held }) => held)).toBe(true);
      expect(
        await server.query(
          "SELECT relpersistence FROM pg_class WHERE oid = 'own.leases'::regclass",
        ),
      ).toEqual([{ relpersistence: 'u' }]);
    });

    it('gives no right to read or write its tables to who may use it', async () => {
      await server.query('CREATE ROLE least LOGIN');
      await server.query('GRANT USAGE ON SCHEMA nestjs_lock TO least');
      const service = scene.at(server.as('least'));
      const lock = await service.acquire('k', { mode: 'shared' });
      expect((await service.inspect('k')).holders).toHaveLength(1);
      const client = new pg.Client(server.as('least'));
      await client.connect();
      await client.query(lock.guard('sql'));
      for (const table of ['leases', 'waiters', 'buckets', 'sweeps', 'version']) {
        await expect(client.query(`SELECT * FROM nestjs_lock.${table}`)).rejects.toThrow(
          `permission denied for table ${table}`,
        );
      }
      await client.end();
      await lock.release();
    });
  });

  it('nothing is left of keys when all is quiet', async () => {
    const service = scene.at({ connectionString: server.url, namespace: 'quiet' });
    await Promise.all(
      Array.from({ length: 300 }, (_, n) => service.withLock(`quiet ${n}`, () => undefined)),
    );
    for (const table of ['leases', 'waiters']) {
      expect(
        await server.query(`SELECT key FROM nestjs_lock.${table} WHERE namespace = 'quiet'`),
      ).toEqual([]);
    }
    expect(
      await server.query("SELECT count(*) FROM nestjs_lock.buckets WHERE namespace = 'quiet'"),
    ).toEqual([{ count: '256' }]);
  });

  it('renewals write no index', async () => {
    const service = scene.at({ connectionString: server.url, namespace: 'hot' });
    const lock = await service.acquire('k', { ttl: '1m' });
    const updates = async () => {
      const [row] = await server.query(
        "SELECT n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE schemaname = 'nestjs_lock' AND relname = 'leases'",
      );
      return { all: Number(row?.all), hot: Number(row?.hot) };
    };
    const before = await updates();
    for (let round = 0; round < 50; round++) await lock.renew();
    await lock.release();
    await eventually('the statistics', async () => (await updates()).all >= before.all + 45, 200);
    const after = await updates();
    expect(after.hot - before.hot).toBeGreaterThan((after.all - before.all) * 0.9);
  });

  it.each<[string, unknown, RegExp]>([
    ['no address', {}, /exactly one of connectionString, options and pool, got \[\]/],
    [
      'two addresses',
      { connectionString: 'postgres://a', options: {} },
      /exactly one of .* got \[ 'connectionString', 'options' \]/,
    ],
    [
      'a bad URL',
      { connectionString: 'redis://:secret@a' },
      /connectionString must be a postgres:\/\/.*\*\*\*@a/,
    ],
    ['a pool that is none', { pool: {} }, /pool must be a Pool of pg/],
    ['a bad schema', { connectionString: 'postgres://a', schema: 'a"b' }, /schema must be a name/],
    ['a bad namespace', { connectionString: 'postgres://a', namespace: '' }, /namespace must be/],
    [
      'a bad wake',
      { connectionString: 'postgres://a', wake: 'never' },
      /wake must be 'listen' or 'poll', got 'never'/,
    ],
    [
      'listenOn for who looks',
      { connectionString: 'postgres://a', wake: 'poll', listenOn: 'postgres://b' },
      /listenOn is for wake: 'listen'/,
    ],
    [
      'an unknown option',
      { connectionString: 'postgres://a', url: 'x' },
      /unknown option 'url' of PostgresBackend/,
    ],
  ])('refuses %s', (_, options, message) => {
    const make = (): LockBackend => new PostgresBackend(options as PostgresBackendOptions);
    expect(make).toThrow(LockConfigurationError);
    expect(make).toThrow(message);
  });

  it('shows no credentials', () => {
    const backend = new PostgresBackend({ connectionString: 'postgres://u:secret@h/d' });
    expect(JSON.stringify(backend)).not.toContain('secret');
  });
});
