// Tables that are not logged are empty after a crash: nobody is let in before what was held must be over.
import { LockBackendError } from 'nestjs-lock';
import { migrate } from 'nestjs-lock/postgres';
import { eventually } from '../support/eventually.js';
import { entered, lost, violations, visit } from '../support/history.js';
import { PostgresScene, queued } from '../support/postgres-scene.js';
import type { PostgresServer } from '../support/postgres-server.js';

describe('PostgreSQL with unlogged tables', () => {
  const scene = new PostgresScene();
  let server: PostgresServer;

  /** The longest ttl is what a crash costs. */
  const service = () => scene.at(server.url, { ttl: 4_000 });

  const persist = (unlogged: boolean) =>
    server.ask((client) => migrate(client, 'nestjs_lock', { unlogged }));

  const longest = async () => {
    const rows = await server.query('SELECT longest FROM nestjs_lock.namespaces');
    return rows.map((row) => row.longest);
  };

  beforeAll(async () => {
    server = await scene.server();
    await persist(true);
  });

  afterAll(() => scene.end());

  it('crashes: nobody enters while the holder may believe in its lock, and somebody does afterwards', async () => {
    const [holder, next] = [service(), service()];
    const first = await entered(holder.acquire('k', { renew: false }));
    const granted = entered(next.acquire('k'));
    await queued(next, 'k', 1);
    const loss = lost(first.lock);
    await server.kill();
    await server.launch();
    await eventually('its loss of memory', async () => {
      return (await server.query('SELECT id FROM nestjs_lock.leases')).length === 0;
    });
    await expect(service().tryAcquire('k')).rejects.toThrow(
      /lost its unlogged tables in a crash, .* it grants nothing for \d+ ms/,
    );
    expect(first.lock.held).toBe(true);
    const { at } = await loss;
    const second = await granted;
    await second.lock.release();
    expect(violations([visit('k', first, at), visit('k', second)])).toEqual([]);
    expect(second.token).toBeGreaterThan(first.token);
  });

  it('a session is killed, and the server recovers: the holder is told by its next renewal', async () => {
    const [holder, next] = [service(), service()];
    const first = await entered(holder.acquire('renewed'));
    const loss = lost(first.lock);
    const [session] = await server.query(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'nestjs-lock' LIMIT 1",
    );
    process.kill(Number(session?.pid), 'SIGKILL');
    const { at, reason } = await loss;
    expect(reason).toMatchObject({ reason: 'stolen' });
    await expect(next.acquire(['renewed', 'another'], { wait: 0 })).rejects.toBeInstanceOf(
      LockBackendError,
    );
    const several = next.acquire(['renewed', 'another']);
    const second = await entered(next.acquire('renewed'));
    await second.lock.release();
    await (await several).release();
    expect(violations([visit('renewed', first, at), visit('renewed', second)])).toEqual([]);
  });

  it('restarts as it should: who holds keeps its lock', async () => {
    const [holder, next] = [service(), service()];
    const lock = await holder.acquire('restarted', { ttl: 20_000 });
    await server.shutDown();
    await server.launch();
    expect(await next.tryAcquire('restarted')).toBeNull();
    expect(await lock.release()).toBe('released');
  });

  it('remembers for how long it may have to wait, before that is granted', async () => {
    const longLived = service();
    const lock = await longLived.acquire('long', { ttl: 61_000, minHold: 63_000 });
    expect(await longest()).toEqual([61_000]);
    await lock.renew(62_000);
    expect(await longest()).toEqual([62_000]);
    await lock.release();
    expect((await longest())[0]).toBeGreaterThan(62_000);
    await longLived.forceRelease('long');
  });

  it('becomes that, and is not any more, while locks are held', async () => {
    const lock = await service().acquire('switched');
    for (const unlogged of [false, true, true]) {
      expect(await persist(unlogged)).toEqual({ from: 1, to: 1 });
      await lock.renew();
      const persistent = await server.query(
        "SELECT DISTINCT relpersistence FROM pg_class WHERE oid IN ('nestjs_lock.leases'::regclass, 'nestjs_lock.buckets'::regclass)",
      );
      expect(persistent).toEqual([{ relpersistence: unlogged ? 'u' : 'p' }]);
    }
    expect(await lock.release()).toBe('released');
  });
});
