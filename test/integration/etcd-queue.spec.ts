import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd3 } from 'etcd3';
import type { LockGuard, LockService } from 'nestjs-lock';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { EtcdServer } from '../support/etcd-server.js';
import { EtcdView } from '../support/etcd-view.js';
import { eventually } from '../support/eventually.js';
import { Program } from '../support/program.js';
import { openService } from '../support/two-processes.js';

let server: EtcdServer;
let client: Etcd3;
let view: EtcdView;

beforeAll(async () => {
  server = await EtcdServer.start();
  client = server.client();
  view = new EtcdView(client);
});

afterAll(async () => {
  client.close();
  await server.stop();
});

const open = (): LockService => openService(new EtcdBackend({ hosts: server.url }));

describe('etcdctl lock, as any user of Go', () => {
  const programs: Program[] = [];

  /** Holds or awaits the lock of this key until it is told to end. */
  function lockByGo(key: string): Program {
    const line = ['--endpoints', server.url, 'lock', `nestjs-lock/${key}`];
    const program = Program.start('etcdctl', line, { ETCDCTL_API: '3' });
    programs.push(program);
    return program;
  }

  afterAll(async () => {
    for (const program of programs) await program.stop();
  });

  it('stands behind us', async () => {
    const locks = open();
    const lock = await locks.acquire('ours');
    const go = lockByGo('ours');
    await view.queued('ours', 1);
    expect(await locks.inspect('ours')).toMatchObject({ waiters: 1 });
    await sleep(100);
    expect(go.output).toBe('');
    await lock.release();
    await go.says(/nestjs-lock\/ours\//);
    expect(await locks.tryAcquire('ours')).toBeNull();
    go.kill('SIGINT');
    await go.ended;
    expect((await locks.acquire('ours')).fencingToken).toBeGreaterThan(lock.fencingToken);
  });

  it('stands before us', async () => {
    const locks = open();
    const go = lockByGo('theirs');
    await go.says(/nestjs-lock\/theirs\//);
    expect(await locks.tryAcquire('theirs')).toBeNull();
    const { holders } = await locks.inspect('theirs');
    expect(holders).toHaveLength(1);
    const waiting = locks.acquire('theirs');
    await view.queued('theirs', 1);
    go.kill('SIGINT');
    const lock = await waiting;
    expect(lock.fencingToken).toBeGreaterThan(holders[0]!.fencingToken);
    await lock.release();
  });

  it('keeps its place between two of ours', async () => {
    const [first, second] = [open(), open()];
    const order: string[] = [];
    const held = await first.acquire('mixed');
    const go = lockByGo('mixed');
    await view.queued('mixed', 1);
    const last = second.acquire('mixed').then((lock) => {
      order.push('ours');
      return lock;
    });
    await view.queued('mixed', 2);
    await held.release();
    await go.says(/nestjs-lock\/mixed\//);
    order.push('go');
    go.kill('SIGINT');
    await (await last).release();
    expect(order).toEqual(['go', 'ours']);
  });
});

describe('lock.guard()', () => {
  it("makes the user's own transaction succeed only while the lock is theirs", async () => {
    const [first, second] = [open(), open()];
    const write = (guard: LockGuard, value: string) =>
      client
        .if(...guard)
        .then(client.put('account').value(value))
        .commit();

    const lock = await first.acquire('guarded', { ttl: '2s' });
    const guard = lock.guard();
    expect((await write(guard, 'one')).succeeded).toBe(true);
    // Moved to the session of another ttl, it is the same lock.
    await lock.renew('1m');
    expect((await write(guard, 'two')).succeeded).toBe(true);

    const waiting = second.acquire('guarded');
    await view.queued('guarded', 1);
    await lock.release();
    const next = await waiting;
    const nextGuard = next.guard();
    expect((await write(guard, 'late')).succeeded).toBe(false);
    expect((await write(nextGuard, 'three')).succeeded).toBe(true);
    expect(await client.get('account').string()).toBe('three');
    await next.release();
    expect((await write(nextGuard, 'late')).succeeded).toBe(false);
  });
});

describe('keys with slashes', () => {
  it('do not stand in the way of the shorter key', async () => {
    const [locks, other] = [open(), open()];
    const nested = await locks.acquire('a/b');
    const deeper = await locks.acquire('a/b/c');
    const outer = await locks.acquire('a');
    expect(await other.tryAcquire('a')).toBeNull();
    expect((await locks.inspect('a')).waiters).toBe(0);
    const tokens = [outer.fencingToken];
    const waiting = other.acquire('a');
    await eventually('a waiter', async () => (await locks.inspect('a')).waiters === 1);
    const again = await locks.acquire('a/d');
    await outer.release();
    const next = await waiting;
    tokens.push(next.fencingToken, (await locks.inspect('a')).holders[0]!.fencingToken);
    expect(tokens[1]).toBeGreaterThan(tokens[0]!);
    expect(tokens[2]).toBe(tokens[1]);
    await next.release();
    for (const lock of [nested, deeper, again]) expect(await lock.release()).toBe('released');
    expect(await view.members('a')).toEqual([]);
  });

  it('exclude each other all the same', async () => {
    const services = [open(), open()];
    const inside = new Set<string>();
    let visits = 0;
    const caller = async (service: LockService, key: string) => {
      for (let turn = 0; turn < 10; turn++) {
        await service.withLock(key, { wait: '20s' }, async () => {
          expect(inside.has(key)).toBe(false);
          inside.add(key);
          await sleep(1);
          inside.delete(key);
          visits++;
        });
      }
    };
    const keys = ['x', 'x/y', 'x/y/z', 'x/', '/x'];
    await Promise.all(services.flatMap((one) => keys.map((key) => caller(one, key))));
    expect(visits).toBe(100);
    expect(await view.members('x')).toEqual([]);
  });
});

describe('sessions', () => {
  it('one lease serves all locks of a ttl', async () => {
    const locks = open();
    const before = (await view.leases()).length;
    const held = await Promise.all([1, 2, 3].map((n) => locks.acquire(`k${n}`, { ttl: '20s' })));
    held.push(await locks.acquire('k4', { ttl: 19_001 }));
    const leases = await Promise.all(['k1', 'k2', 'k3', 'k4'].map((key) => view.members(key)));
    expect(new Set(leases.map(([member]) => member!.lease)).size).toBe(1);
    expect(await view.leases()).toHaveLength(before + 1);
    await Promise.all(held.map((lock) => lock.release()));
  });

  it('a ttl that etcd rounds up ends when it was asked to', async () => {
    const [locks, other] = [open(), open()];
    const start = performance.now();
    await locks.acquire('rounded', { ttl: 1_200, renew: false });
    await other.acquire('rounded');
    expect(performance.now() - start).toBeGreaterThanOrEqual(1_198);
  });

  it('that nobody uses end, and come again when they are needed', async () => {
    const locks = open();
    const before = (await view.leases()).length;
    await locks.withLock('idle', { ttl: '1s' }, () => undefined);
    expect(await view.leases()).toHaveLength(before + 1);
    await eventually('the end', async () => (await view.leases()).length === before);
    const lock = await locks.acquire('idle', { ttl: '1s' });
    expect(lock.held).toBe(true);
    await sleep(2_500);
    expect(lock.held).toBe(true);
    expect(await lock.release()).toBe('released');
  });

  it('end with the service', async () => {
    const [locks, other] = [open(), open()];
    const before = await view.leases();
    await locks.acquire('held', { ttl: '20s' });
    await locks.acquire('also held', { ttl: '10s' });
    const busy = await other.acquire('busy');
    const told = Promise.allSettled([locks.acquire('busy')]);
    await view.queued('busy', 1);
    await locks.close();
    expect(await told).toMatchObject([{ reason: { name: 'LockShutdownError' } }]);
    expect(await view.members('held')).toEqual([]);
    expect(await view.members('busy')).toHaveLength(1);
    await busy.release();
    await other.close();
    expect((await view.leases()).length).toBeLessThanOrEqual(before.length);
  });
});
