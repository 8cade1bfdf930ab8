import { setTimeout as sleep } from 'node:timers/promises';
import { LockBackendError } from 'nestjs-lock';
import { PostgresBackend } from 'nestjs-lock/postgres';
import { eventually } from '../support/eventually.js';
import { entered, lost, machineTime, violations, visit } from '../support/history.js';
import { PostgresScene, queued, through } from '../support/postgres-scene.js';
import type { PostgresServer } from '../support/postgres-server.js';

describe('PostgreSQL', () => {
  const scene = new PostgresScene();
  let shared: PostgresServer;

  beforeAll(async () => {
    shared = await scene.server();
  });

  afterAll(() => scene.end());

  describe('the server', () => {
    it('restarts: who holds keeps its lock, who waits gets it', async () => {
      const server = await scene.server();
      const [holder, next] = [scene.at(server.url), scene.at(server.url)];
      const first = await entered(holder.acquire('k', { ttl: 20_000 }));
      const granted = entered(next.acquire('k'));
      await queued(holder, 'k', 1);
      await server.shutDown();
      await server.launch();
      await first.lock.renew();
      expect(first.lock.held).toBe(true);
      await queued(holder, 'k', 1);
      const left = machineTime();
      expect(await first.lock.release()).toBe('released');
      const second = await granted;
      expect(second.token).toBeGreaterThan(first.token);
      await second.lock.release();
      expect(violations([visit('k', first, left), visit('k', second)])).toEqual([]);
    });

    it('crashes: what was granted stays granted, and the queue is made anew', async () => {
      const server = await scene.server();
      const [holder, next] = [scene.at(server.url), scene.at(server.url)];
      const first = await entered(holder.acquire('k', { ttl: 20_000 }));
      const granted = entered(next.acquire('k'));
      await queued(holder, 'k', 1);
      await server.kill();
      await server.launch();
      expect(await scene.at(server.url).tryAcquire('k')).toBeNull();
      await queued(holder, 'k', 1);
      expect(await server.query('SELECT token FROM nestjs_lock.leases')).toEqual([
        { token: String(first.token) },
      ]);
      const left = machineTime();
      expect(await first.lock.release()).toBe('released');
      const second = await granted;
      await second.lock.release();
      expect(violations([visit('k', first, left), visit('k', second)])).toEqual([]);
    });

    it('is away for longer than a ttl: the holder knows by itself', async () => {
      const server = await scene.server();
      const holder = scene.at(server.url);
      const first = await entered(holder.acquire('k', { ttl: 1_000 }));
      const loss = lost(first.lock);
      await server.kill();
      const { reason } = await loss;
      expect(reason).toMatchObject({ code: 'LOCK_LOST' });
      expect(first.lock.held).toBe(false);
      await expect(holder.acquire('other', { wait: 300 })).rejects.toBeInstanceOf(LockBackendError);
      await server.launch();
      const next = await holder.acquire('k');
      expect(next.fencingToken).toBeGreaterThan(first.token);
      await next.release();
    });

    it('freezes: calls are bounded, and what reaches it late leaves nothing behind', async () => {
      const server = await scene.server();
      const service = scene.at(server.url);
      await service.withLock('warm up', () => undefined);
      server.freeze();
      const start = machineTime();
      await expect(service.acquire('k', { wait: 500 })).rejects.toBeInstanceOf(LockBackendError);
      await expect(service.tryAcquire('k')).rejects.toBeInstanceOf(LockBackendError);
      expect(machineTime() - start).toBeGreaterThan(495);
      server.thaw();
      const other = scene.at(server.url);
      await eventually('nothing left', async () => {
        const { holders, waiters } = await other.inspect('k');
        return holders.length + waiters === 0;
      });
      await service.withLock('k', () => undefined);
    });

    it('freezes for longer than the patience while the holder renews: the lock is kept', async () => {
      const server = await scene.server();
      const holder = scene.at({ connectionString: server.url, commandTimeout: 500 });
      const lock = await holder.acquire('k', { ttl: 30_000 });
      server.freeze();
      await expect(lock.renew()).rejects.toBeInstanceOf(LockBackendError);
      expect(lock.held).toBe(true);
      server.thaw();
      await eventually('a renewal', () =>
        lock.renew().then(
          () => true,
          () => false,
        ),
      );
      expect(await lock.release()).toBe('released');
    });
  });

  describe('the network', () => {
    it('loses the reply of a grant: asked again it is the same grant', async () => {
      const proxy = await scene.proxy(shared.port);
      const service = scene.at({
        connectionString: through(proxy),
        commandTimeout: 500,
        namespace: 'lost-reply',
      });
      await service.withLock('warm up', () => undefined);
      proxy.hold('replies');
      const asked = service.acquire('k', { ttl: 20_000 });
      const rows = () =>
        shared.query("SELECT token FROM nestjs_lock.leases WHERE namespace = 'lost-reply'");
      await eventually('the grant', async () => (await rows()).length === 1);
      const [row] = await rows();
      proxy.cut();
      proxy.restore();
      const lock = await asked;
      expect(String(lock.fencingToken)).toBe(row?.token);
      expect(await rows()).toHaveLength(1);
      expect(await lock.release()).toBe('released');
      await eventually('nothing left', async () => (await rows()).length === 0);
    });

    it('loses the reply of a hand-off: the next one has it', async () => {
      const proxy = await scene.proxy(shared.port);
      const [holder, next] = [
        scene.at({ connectionString: through(proxy), commandTimeout: 500 }),
        scene.at(shared.url),
      ];
      const first = await entered(holder.acquire('hand-off', { ttl: 20_000 }));
      const granted = entered(next.acquire('hand-off'));
      await queued(next, 'hand-off', 1);
      proxy.drop('replies');
      const left = machineTime();
      const released = first.lock.release();
      const second = await granted;
      proxy.restore();
      await released;
      expect(second.lock.held).toBe(true);
      await second.lock.release();
      expect(violations([visit('k', first, left), visit('k', second)])).toEqual([]);
    });

    it('cuts off a holder: it knows before the next one enters', async () => {
      const proxy = await scene.proxy(shared.port);
      const [holder, next] = [scene.at(through(proxy)), scene.at(shared.url)];
      const first = await entered(holder.acquire('cut off', { ttl: 1_500 }));
      const loss = lost(first.lock);
      const granted = entered(next.acquire('cut off'));
      await queued(next, 'cut off', 1);
      await proxy.refuse();
      const [{ at }, second] = await Promise.all([loss, granted]);
      expect(violations([visit('cut off', first, at), visit('cut off', second)])).toEqual([]);
      await second.lock.release();
      await proxy.admit();
    });

    it('says nothing to who listens: waiters find their grants by looking', async () => {
      const proxy = await scene.proxy(shared.port);
      const holder = scene.at(shared.url);
      const deaf = scene.at({
        connectionString: shared.url,
        listenOn: through(proxy),
      });
      await deaf.withLock('warm up', () => undefined);
      const first = await entered(holder.acquire('deaf'));
      const granted = entered(deaf.acquire('deaf'));
      await queued(holder, 'deaf', 1);
      proxy.drop('replies');
      const left = machineTime();
      await first.lock.release();
      const second = await granted;
      expect(violations([visit('deaf', first, left), visit('deaf', second)])).toEqual([]);
      await second.lock.release();
      proxy.restore();
    });
  });

  describe('whatever the role has as its default', () => {
    it.each([
      ['a read-only default', 'default_transaction_read_only = on'],
      ['serializable transactions', "default_transaction_isolation = 'serializable'"],
      ['repeatable reads', "default_transaction_isolation = 'repeatable read'"],
      ['a short lock_timeout', "lock_timeout = '1ms'"],
      ['a short statement_timeout', "statement_timeout = '100ms'"],
      ['commits that do not wait', 'synchronous_commit = off'],
    ])('%s is not in the way', async (name, setting) => {
      const role = name.replace(/\W/g, '_');
      await shared.query(`CREATE ROLE ${role} LOGIN`);
      await shared.query(`ALTER ROLE ${role} SET ${setting}`);
      // All the rights that there are to give.
      await shared.query(`GRANT USAGE ON SCHEMA nestjs_lock TO ${role}`);
      const where = { connectionString: shared.as(role), namespace: role };
      const services = [scene.at(where), scene.at(where), scene.at(where)];
      let inside = 0;
      const visits: number[] = [];
      await Promise.all(
        Array.from({ length: 60 }, (_, n) =>
          services[n % 3]!.withLock('k', async (lock) => {
            expect(++inside).toBe(1);
            visits.push(lock.fencingToken);
            await new Promise((resolve) => setImmediate(resolve));
            inside--;
          }),
        ),
      );
      expect(visits).toEqual([...visits].sort((one, other) => one - other));
      expect(new Set(visits).size).toBe(60);
      // A step that has to wait for another one.
      const held = await shared.ask(async (client) => {
        await client.query('BEGIN');
        await client.query('SELECT FROM nestjs_lock.buckets WHERE namespace = $1 FOR UPDATE', [
          role,
        ]);
        const asked = services[0]!.acquire('k', { ttl: '30s' });
        await sleep(300);
        await client.query('COMMIT');
        return asked;
      });
      await held.renew();
      const readers = await Promise.all([
        services[1]!.acquire('read', { mode: 'shared' }),
        services[2]!.acquire('read', { mode: 'shared' }),
      ]);
      expect(await services[1]!.revoke('k', { reason: 'upgrade' })).toBe(1);
      for (const lock of [held, ...readers]) expect(await lock.release()).toBe('released');
    });

    it('what is written of a lock survives a crash also where commits do not wait', async () => {
      await shared.query('CREATE ROLE careless LOGIN');
      await shared.query('ALTER ROLE careless SET synchronous_commit = off');
      await shared.query('GRANT USAGE ON SCHEMA nestjs_lock TO careless');
      const shown = await shared.ask(async (client) => {
        await client.query('SET ROLE careless; SET synchronous_commit = off');
        const results = (await client.query(
          "SELECT nestjs_lock.acquire('durable', 9e15::bigint, 1000, false, '[]');" +
            "SELECT current_setting('synchronous_commit') AS now",
        )) as unknown as { rows: { now: string }[] }[];
        return results.at(-1)?.rows[0]?.now;
      });
      expect(shown).toBe('on');
    });
  });

  it('a statement that comes too late does nothing', async () => {
    const [reply] = await shared.query(
      `SELECT nestjs_lock.acquire('late', 1, 1000, false,
        '[{"id":"p:1","key":"k","ttl":1000,"shared":false,"permits":1,"queue":true,"reserve":0}]') AS it`,
    );
    expect(JSON.parse(String(reply?.it))).toHaveLength(2);
    expect(
      await shared.query("SELECT id FROM nestjs_lock.leases WHERE namespace = 'late'"),
    ).toEqual([]);
  });

  it('a step in another isolation is refused, as it would not see what it must', async () => {
    await expect(
      shared.ask(async (client) => {
        await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
        await client.query("SELECT nestjs_lock.cancel('n', 'k', 'p:1')");
      }),
    ).rejects.toThrow('locks need READ COMMITTED, this transaction is repeatable read');
  });

  it('the clock of the server goes back: tokens rise all the same', async () => {
    const service = scene.at({ connectionString: shared.url, namespace: 'clock' });
    const first = await service.withLock('k', (lock) => lock.fencingToken);
    // As if the one before had been minted an hour later.
    await shared.query(
      "UPDATE nestjs_lock.buckets SET last = last + 3600000000 WHERE namespace = 'clock'",
    );
    const second = await service.withLock('k', (lock) => lock.fencingToken);
    expect(second).toBeGreaterThan(first + 3_599_000_000);
    expect(await service.withLock('k', (lock) => lock.fencingToken)).toBeGreaterThan(second);
  });

  it('rows that nobody asks for any more are removed', async () => {
    await shared.query(
      `INSERT INTO nestjs_lock.leases (namespace, key, id, token, shared, permits, granted, ends)
        SELECT 'left', 'k' || n, 'dead:' || n, n, false, 1, now() - interval '1 hour',
          now() - interval '2 minutes' FROM generate_series(1, 100) AS n`,
    );
    await shared.query(
      `INSERT INTO nestjs_lock.waiters (namespace, key, id, ticket, shared, permits, ttl, listens, dies)
        SELECT 'left', 'k', 'dead:' || n, n, false, 1, 1000, true, now() - interval '2 minutes'
          FROM generate_series(1, 100) AS n`,
    );
    await scene
      .at({ connectionString: shared.url, namespace: 'left' })
      .withLock('another', () => undefined);
    await shared.query('UPDATE nestjs_lock.sweeps SET due = now()');
    await shared.query('SELECT nestjs_lock.sweep()');
    for (const table of ['leases', 'waiters']) {
      expect(
        await shared.query(`SELECT id FROM nestjs_lock.${table} WHERE namespace = 'left'`),
      ).toEqual([]);
    }
  });

  it('says what is missing, and what to type', async () => {
    const nowhere = scene.at({ connectionString: shared.url, schema: 'nowhere' });
    await expect(nowhere.acquire('k')).rejects.toThrow(
      /schema "nowhere" .*npx nestjs-lock postgres migrate/,
    );
    await shared.query('CREATE ROLE nobody LOGIN');
    const warnings: string[] = [];
    const backend = new PostgresBackend({ connectionString: shared.as('nobody') });
    const connection = backend.connect({
      id: 'p',
      warn: (message) => warnings.push(message),
      lost: () => undefined,
      revoked: () => undefined,
    });
    await eventually('the warning', () =>
      warnings.some((one) => one.includes('GRANT USAGE ON SCHEMA "nestjs_lock"')),
    );
    await connection.close();
  });
});
