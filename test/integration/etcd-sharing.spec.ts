import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd3 } from 'etcd3';
import { LockConfigurationError, type LockService } from 'nestjs-lock';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { EtcdServer } from '../support/etcd-server.js';
import { EtcdView } from '../support/etcd-view.js';
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

describe('etcdctl lock, as any user of Go, to whom there are no readers', () => {
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

  it('waits for all of them', async () => {
    const [one, other] = [open(), open()];
    const readers = [
      await one.acquire('read', { mode: 'shared' }),
      await other.acquire('read', { mode: 'shared' }),
    ] as const;
    const go = lockByGo('read');
    await view.queued('read', 2);
    await readers[1].release();
    await sleep(100);
    expect(go.output).toBe('');
    await readers[0].release();
    await go.says(/nestjs-lock\/read\//);
  });

  it('keeps them out while it holds the lock, and while it waits', async () => {
    const [one, other] = [open(), open()];
    const reader = await one.acquire('both', { mode: 'shared' });
    const go = lockByGo('both');
    await view.queued('both', 1);
    expect(await other.tryAcquire('both', { mode: 'shared' })).toBeNull();
    const late = [1, 2].map(() => other.acquire('both', { mode: 'shared' }));
    await view.queued('both', 3);
    await reader.release();
    await go.says(/nestjs-lock\/both\//);
    expect(await one.tryAcquire('both', { mode: 'shared' })).toBeNull();
    expect((await one.inspect('both')).queue).toMatchObject([
      { mode: 'shared' },
      { mode: 'shared' },
    ]);
    go.kill('SIGINT');
    const locks = await Promise.all(late);
    expect((await one.inspect('both')).holders).toHaveLength(2);
    await Promise.all(locks.map((lock) => lock.release()));
    await view.untouched('both');
  });

  it('has the limit 1, and others wait for it as it waits for them', async () => {
    const locks = open();
    const go = lockByGo('limited');
    await go.says(/nestjs-lock\/limited\//);
    const refused = locks.acquire('limited', { limit: 3, wait: 0 });
    await expect(refused).rejects.toThrow(LockConfigurationError);
    await expect(refused).rejects.toThrow(/\b1\b.*\b3\b/);
    expect(await view.members('limited')).toHaveLength(1);
    const waiting = [1, 2].map(() => locks.acquire('limited', { limit: 3 }));
    await view.queued('limited', 2);
    const late = lockByGo('limited');
    await view.queued('limited', 3);
    go.kill('SIGINT');
    const permits = await Promise.all(waiting);
    expect(await view.members('limited')).toHaveLength(3);
    for (const permit of permits) await permit.release();
    await late.says(/nestjs-lock\/limited\//);
    late.kill('SIGINT');
    await view.untouched('limited');
  });

  it('is seen as a holder of whom nothing is known, and can be broken', async () => {
    const locks = open();
    const go = lockByGo('broken');
    await go.says(/nestjs-lock\/broken\//);
    const waiting = locks.acquire('broken');
    await view.queued('broken', 1);
    const { holders } = await locks.inspect('broken');
    expect(holders).toMatchObject([
      { mode: 'exclusive', owner: { host: undefined, isSelf: false } },
    ]);
    expect(await locks.revoke('broken')).toBe(1);
    expect(await locks.forceRelease('broken')).toBe(1);
    await (await waiting).release();
    await view.untouched('broken');
  });
});

describe('keys with slashes', () => {
  it('do not stand in the way of readers and permits of the shorter key', async () => {
    const [one, other] = [open(), open()];
    const nested = [await one.acquire('a/b'), await one.acquire('a/b/c')];
    const readers = [
      await one.acquire('a', { mode: 'shared' }),
      await other.acquire('a', { mode: 'shared' }),
    ];
    expect(await other.tryAcquire('a')).toBeNull();
    const writing = other.acquire('a');
    await view.queued('a', 4);
    const late = one.acquire('a', { mode: 'shared' });
    await view.queued('a', 5);
    expect(await one.inspect('a')).toMatchObject({ waiters: 2 });
    await Promise.all(readers.map((lock) => lock.release()));
    await (await writing).release();
    await (await late).release();

    const permits = [];
    for (const service of [one, other, one]) permits.push(await service.acquire('a', { limit: 3 }));
    expect(await other.tryAcquire('a', { limit: 3 })).toBeNull();
    const waiting = [1, 2, 3, 4].map(() => other.acquire('a', { limit: 3 }));
    await view.queued('a', 8);
    for (const lock of permits) await lock.release();
    for (const lock of waiting) await (await lock).release();
    for (const lock of nested) expect(await lock.release()).toBe('released');
    expect(await view.members('a')).toEqual([]);
  });
});

describe('many permits', () => {
  it('are out all at once, never more, and in the order of arrival', async () => {
    const services = [open(), open(), open()];
    const limit = 10;
    let [inside, most] = [0, 0];
    const served: number[] = [];
    const first = await Promise.all(
      Array.from({ length: limit }, () => services[0]!.acquire('many', { limit })),
    );
    const calls: Promise<void>[] = [];
    for (let n = 0; n < 45; n++) {
      const call = services[n % 3]!.withLock('many', { limit, wait: '15s' }, async () => {
        served.push(n);
        most = Math.max(most, ++inside);
        await sleep(100);
        inside--;
      });
      calls.push(call);
      await view.queued('many', limit + n);
    }
    await Promise.all(first.map((lock) => lock.release()));
    await Promise.all(calls);
    expect(most).toBeLessThanOrEqual(limit);
    expect(most).toBeGreaterThan(limit / 2);
    // Nobody comes while `limit` others that came before it are not through. Who is let in may be slow to come.
    served.forEach((n, place) => expect(n - place).toBeLessThan(limit));
    expect(await view.members('many')).toEqual([]);
  });
});

describe('a key that stays taken after its release', () => {
  it('does so when the process ends, until the next whole second', async () => {
    const [locks, other] = [open(), open()];
    const lock = await locks.acquire('job', { minHold: 2_500 });
    const start = performance.now();
    await lock.release();
    await locks.close();
    expect((await other.inspect('job')).holders).toMatchObject([
      { fencingToken: lock.fencingToken },
    ]);
    await (await other.acquire('job')).release();
    expect(performance.now() - start).toBeGreaterThan(2_400);
  });

  it('leaves no lease behind', async () => {
    const locks = open();
    const before = (await view.leases()).length;
    await locks.withLock('short', { minHold: 300 }, () => undefined);
    await (await locks.acquire('short')).release();
    await view.untouched('short');
    // One for those who hold a lock, and one for those who wait.
    expect((await view.leases()).length).toBeLessThanOrEqual(before + 2);
  });
});
