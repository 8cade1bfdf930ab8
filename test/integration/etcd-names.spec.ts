import { EtcdBackend } from 'nestjs-lock/etcd';
import type { Etcd3 } from 'etcd3';
import type { LockService } from 'nestjs-lock';
import { acquires, EtcdCourier, withdraws } from '../support/etcd-courier.js';
import { EtcdServer } from '../support/etcd-server.js';
import { EtcdView } from '../support/etcd-view.js';
import { eventually } from '../support/eventually.js';
import { openService } from '../support/two-processes.js';

// The server keeps every name that ever was until its history is compacted, and passes over all
// that are in a queue at each acquire there: a name of its own for each would make it ever slower.
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

/** A service that has a session already, and what carries its transactions. */
async function remote() {
  const courier = new EtcdCourier(client);
  const locks = openService(new EtcdBackend({ client }));
  await locks.withLock('warm', () => undefined);
  return { courier, locks };
}

/** All names that stood in the queue of a key, from the history of the server. */
async function namesSince(revision: number, key: string): Promise<Set<string>> {
  const names = new Set<string>();
  const watcher = await client
    .watch()
    .prefix(`nestjs-lock/${key}/`)
    .startRevision(String(revision))
    .create();
  let last = 0;
  watcher.on('data', ({ events }) => {
    for (const { kv } of events) {
      names.add(kv.key.toString());
      last = Number(kv.mod_revision);
    }
  });
  const { header } = await client.put('end').value('');
  const end = Number(header.revision);
  await eventually('all events', () => last > 0 && last <= end);
  await watcher.cancel();
  return names;
}

describe('the names of members', () => {
  it('are given again: a key that is taken over and over has had one', async () => {
    const locks = open();
    const first = await locks.acquire('often');
    await first.release();
    for (let turn = 0; turn < 50; turn++) await locks.withLock('often', () => undefined);
    expect(await namesSince(first.fencingToken, 'often')).toMatchObject({ size: 1 });
  });

  it('are given again by those who waited, gave up, or were told busy', async () => {
    const [locks, other] = [open(), open()];
    const start = (await locks.acquire('awaited')).fencingToken;
    for (let turn = 0; turn < 5; turn++) {
      const giveUp = new AbortController();
      const refused = other.acquire('awaited', { signal: giveUp.signal });
      await view.queued('awaited', 1);
      expect(await other.tryAcquire('awaited')).toBeNull();
      giveUp.abort(new Error('given up'));
      await expect(refused).rejects.toThrow('given up');
      await view.queued('awaited', 0);
    }
    // One of ours and one of theirs; and another, if a turn began before the last one was answered.
    expect((await namesSince(start, 'awaited')).size).toBeLessThanOrEqual(3);
  });

  it('are never given to two at once', async () => {
    const [locks, other] = [open(), open()];
    const held = await locks.acquire('many');
    const waiting = [1, 2, 3].map(() => other.acquire('many'));
    await view.queued('many', 1);
    expect(await other.tryAcquire('many')).toBeNull();
    await held.release();
    for (const lock of waiting) await (await lock).release();
    const several = await Promise.all(['a', 'b', 'c'].map((key) => locks.acquire(key)));
    expect(several.every(({ held }) => held)).toBe(true);
  });

  it('are not given again when a try was not answered, which may come late', async () => {
    const { courier, locks } = await remote();
    const stray = courier.stray(acquires);
    const first = await locks.acquire('late');
    const [before] = await view.members('late');
    await first.release();
    const second = await locks.acquire('late');
    const [after] = await view.members('late');
    expect(after!.name).not.toBe(before!.name);
    await (
      await stray
    )();
    expect(await view.members('late')).toEqual([after]);
    expect(await second.release()).toBe('released');
  });

  it('are safe from a release that is carried out late', async () => {
    const { courier, locks } = await remote();
    const stray = courier.stray(withdraws);
    await (await locks.acquire('given back')).release();
    const second = await locks.acquire('given back');
    await (
      await stray
    )();
    await second.renew();
    expect(second.held).toBe(true);
    expect(await second.release()).toBe('released');
  });

  it('do not deceive who begins to watch when the one ahead has gone and come again', async () => {
    const watching = server.client();
    const courier = new EtcdCourier(watching);
    const [locks, waiter] = [open(), openService(new EtcdBackend({ client: watching }))];
    const held = await locks.acquire('again');
    // Its watch begins when it is too late.
    let begin!: () => void;
    const may = new Promise<void>((resolve) => (begin = resolve));
    courier.beforeWatch = () => may;
    const waiting = waiter.acquire('again', { wait: '10s' });
    await view.queued('again', 1);
    await held.release();
    const again = locks.acquire('again');
    await view.queued('again', 1);
    begin();
    const lock = await waiting;
    await lock.release();
    const next = await again;
    expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
    await next.release();
    watching.close();
  });
});
