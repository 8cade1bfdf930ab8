import { EtcdScene } from '../support/etcd-scene.js';
import type { EtcdServer } from '../support/etcd-server.js';
import type { EtcdView } from '../support/etcd-view.js';
import { eventually } from '../support/eventually.js';

describe('operators on etcd', () => {
  const scene = new EtcdScene();
  let server: EtcdServer;
  let view: EtcdView;

  beforeAll(async () => {
    server = await scene.server();
    view = scene.view(server.url);
  });

  afterAll(() => scene.end());

  const open = () => scene.service({ hosts: server.url });

  it('see no more in a list than the keys that are held', async () => {
    const locks = open();
    const held = [await locks.acquire('listed'), await locks.acquire('/listed/too')];
    const waiting = open().acquire('listed');
    await view.queued('listed', 1);
    await scene.client(server.url).put('nestjs-lock/no-queue').value('by hand');
    const keys: string[] = [];
    for await (const { key } of locks.list('*')) keys.push(key);
    expect(keys.sort()).toEqual(['/listed/too', 'listed']);
    for (const lock of held) await lock.release();
    await (await waiting).release();
  });

  it('see the keys of one moment, on how many pages ever, also when the server forgets it', async () => {
    const client = scene.client(server.url);
    const lease = client.lease(60);
    const names = Array.from({ length: 2_500 }, (_, n) => `paged ${n}`);
    for (let first = 0; first < names.length; first += 100) {
      const some = names.slice(first, first + 100);
      const puts = some.map((name) => lease.put(`nestjs-lock/${name}/1-1`).value('').exec());
      await Promise.all(puts);
    }
    const connection = open();
    const keys: string[] = [];
    for await (const { key } of connection.list('paged *')) {
      keys.push(key);
      if (keys.length !== 100) continue;
      const { header } = await client.put('another').value('');
      await client.kv.compact({ revision: header.revision });
    }
    expect(keys.sort()).toEqual(names.sort());
    await lease.revoke();
  });

  it('are heard by who was not reached just then', async () => {
    const proxy = await scene.proxy(server.port);
    const remote = scene.service({ hosts: proxy.url.replace('redis:', 'http:') });
    const operator = open();
    const [asked, broken] = [await remote.acquire('asked'), await remote.acquire('broken')];
    const { revocation, signal } = asked;
    await proxy.refuse();
    expect(await operator.revoke('asked', { reason: 'moving', grace: '1h' })).toBe(1);
    expect(await operator.forceRelease('broken')).toBe(1);
    await proxy.admit();
    await eventually('both messages', () => revocation.aborted && !broken.held);
    expect(signal.aborted).toBe(false);
    expect(await broken.release()).toBe('stolen');
    expect(await asked.release()).toBe('released');
  });

  it('break all permits of a process and of others at once, and leave nothing behind', async () => {
    const [one, other, operator] = [open(), open(), open()];
    const permits = await Promise.all(
      [one, other].flatMap((service) =>
        Array.from({ length: 40 }, () => service.acquire('permits', { limit: 80, wait: '10s' })),
      ),
    );
    const next = operator.acquire('permits', { limit: 80, wait: '10s' });
    await view.queued('permits', 80);
    expect(await operator.revoke('permits', { reason: 'all' })).toBe(80);
    await eventually('all told', () => permits.every(({ revocation }) => revocation.aborted));
    expect(await operator.forceRelease('permits')).toBe(80);
    await eventually('all lost', () => permits.every(({ held }) => !held));
    await (await next).release();
    await view.untouched('permits');
    for (const service of [one, other, operator]) await service.close();
    const leftovers = await scene.client(server.url).getAll().prefix('nestjs-lock//').keys();
    // Those of the services of other tests, which are open still, are markers and no messages.
    expect(leftovers.filter((name) => name.includes('.'))).toEqual([]);
  });
});
