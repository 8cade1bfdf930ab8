import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdCourier } from '../support/etcd-courier.js';
import { EtcdScene } from '../support/etcd-scene.js';
import { eventually } from '../support/eventually.js';
import { entered, lost, machineTime, violations, visit } from '../support/history.js';

/** How much later etcd itself ends a lease, in milliseconds. */
const EXPIRY = 1_000;

describe('an etcd of one member', () => {
  const scene = new EtcdScene();

  afterAll(() => scene.end());

  /** A server of a test's own. */
  async function own() {
    const server = await scene.server();
    const client = scene.client(server.url);
    const service = () => scene.service({ hosts: server.url });
    return { server, client, view: scene.view(server.url), service };
  }

  it.concurrent('has a lease revoked: its holder knows before anyone else is granted', async () => {
    const { view, service } = await own();
    const [holder, next] = [service(), service()];
    for (let round = 0; round < 20; round++) {
      const key = `revoked ${round}`;
      const first = await entered(holder.acquire(key));
      const loss = lost(first.lock);
      const granted = entered(next.acquire(key)).then((second) => {
        // Nothing is awaited in between.
        return { second, held: first.lock.held };
      });
      await view.queued(key, 1);
      await view.revoke(key);
      const { second, held } = await granted;
      expect(held).toBe(false);
      const { reason, at } = await loss;
      expect(reason).toMatchObject({ reason: 'stolen' });
      expect(await first.lock.release()).toBe('stolen');
      expect(await second.lock.release()).toBe('released');
      expect(violations([visit(key, first, at), visit(key, second)])).toEqual([]);
    }
  });

  it.concurrent(
    'has everything deleted: holders know at once, those who wait are served',
    async () => {
      const key = 'deleted';
      const { client, view, service } = await own();
      const [holder, next] = [service(), service()];
      const first = await entered(holder.acquire(key));
      const loss = lost(first.lock);
      const granted = entered(next.acquire(key));
      await view.queued(key, 1);
      await client.delete().all();
      const { reason } = await loss;
      expect(reason).toMatchObject({ reason: 'stolen' });
      const second = await granted;
      expect(await first.lock.release()).toBe('stolen');
      expect(await second.lock.release()).toBe('released');
    },
  );

  it.concurrent('has the key of a lock deleted: its holder knows at the next renewal', async () => {
    const key = 'key deleted';
    const ttl = 1_500;
    const { client, view, service } = await own();
    const [holder, beside] = [service(), service()];
    const kept = await holder.acquire('beside', { ttl });
    const first = await entered(holder.acquire(key, { ttl }));
    const loss = lost(first.lock);
    const granted = entered(beside.acquire(key));
    await view.queued(key, 1);
    const [member] = await view.members(key);
    await client.delete().key(member!.name);
    const second = await granted;
    const { reason } = await loss;
    expect(reason).toMatchObject({ reason: 'stolen' });
    expect(second.token).toBeGreaterThan(first.token);
    expect(kept).toMatchObject({ held: true, signal: { aborted: false } });
    await second.lock.release();
  });

  it.concurrent('does not tell of a deletion: the waiter looks by itself', async () => {
    const key = 'swallowed';
    const { server, view, service } = await own();
    const client = scene.client(server.url);
    const courier = new EtcdCourier(client);
    const [holder, deaf] = [service(), scene.service({ client })];
    const first = await entered(holder.acquire(key));
    const granted = entered(deaf.acquire(key));
    await view.queued(key, 1);
    courier.tells = false;
    const left = machineTime();
    await first.lock.release();
    const second = await granted;
    expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);

    // What it finds by itself makes it watch anew.
    courier.tells = true;
    const third = entered(holder.acquire(key));
    await view.queued(key, 1);
    await second.lock.release();
    expect((await third).token).toBeGreaterThan(second.token);
  });

  it.concurrent(
    'has a leader that was deposed and does not know: its word does not count',
    async () => {
      const { server, service } = await own();
      const client = scene.client(server.url);
      const courier = new EtcdCourier(client);
      const fooled = scene.service({ client });
      const other = service();
      const [kept, handed] = ['kept', 'handed'];
      const lock = await fooled.acquire(kept, { ttl: '20s', renew: false });
      const held = await other.acquire(handed);
      // Old enough that a grant needs a new sign of life.
      await sleep(500);
      courier.term = (actual) => String(Number(actual) - 1);
      await expect(lock.renew()).rejects.toThrow('could not be renewed');
      await expect(fooled.acquire('new', { ttl: '20s', wait: 500 })).rejects.toThrow('etcd');
      const granted = entered(fooled.acquire(handed, { ttl: '20s' }));
      await eventually('queued', async () => (await other.inspect(handed)).waiters === 1);
      await held.release();
      await sleep(500);
      const restored = machineTime();
      courier.term = (actual) => actual;
      const second = await granted;
      expect(second.at).toBeGreaterThan(restored);
      expect((await other.inspect(handed)).holders[0]!.fencingToken).toBe(second.token);
      await lock.renew();
      for (const one of [lock, second.lock]) expect(await one.release()).toBe('released');
      expect((await other.inspect('new')).holders).toEqual([]);
    },
  );

  it.concurrent('forgets what a watch has missed: the waiter looks by itself', async () => {
    const key = 'compacted';
    const { server, client, view, service } = await own();
    const proxy = await scene.proxy(server.port);
    const hosts = proxy.url.replace('redis:', 'http:');
    const [holder, cutOff] = [service(), scene.service({ hosts })];
    const first = await entered(holder.acquire(key));
    const granted = entered(cutOff.acquire(key));
    await view.queued(key, 1);
    await proxy.refuse();
    const left = machineTime();
    await first.lock.release();
    let revision = '';
    for (let n = 0; n < 10; n++) revision = (await client.put('other').value(n)).header.revision;
    await client.kv.compact({ revision, physical: true });
    await proxy.admit();
    const second = await granted;
    expect(await second.lock.release()).toBe('released');
    expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
  });

  it.concurrent(
    'is frozen for longer than the ttl: the holder knows in time, the waiter is served',
    async () => {
      const key = 'frozen';
      const ttl = 2_000;
      const { server, view, service } = await own();
      const [holder, next] = [service(), service()];
      const first = await entered(holder.acquire(key, { ttl }));
      const loss = lost(first.lock);
      const granted = entered(next.acquire(key, { ttl, wait: 30_000 }));
      await view.queued(key, 1);

      const frozen = machineTime();
      server.freeze();
      const { reason, at } = await loss;
      expect(reason).toMatchObject({ name: 'LockLostError' });
      await eventually('three ttl', () => machineTime() > frozen + 3 * ttl);
      server.thaw();
      const second = await granted;
      expect(violations([visit(key, first, at), visit(key, second)])).toEqual([]);
      expect(await second.lock.release()).toBe('released');
      await view.untouched(key);
    },
  );

  it.concurrent(
    'is killed and comes back with its data: nothing is lost within the ttl',
    async () => {
      const key = 'restarted';
      const ttl = 5_000;
      const { server, view, service } = await own();
      const [holder, next] = [service(), service()];
      const first = await entered(holder.acquire(key, { ttl }));
      const granted = entered(next.acquire(key, { wait: 30_000 }));
      await view.queued(key, 1);
      await server.kill();
      await sleep(500);
      await server.launch();
      await eventually('longer than a ttl', () => machineTime() > first.at + ttl + EXPIRY);
      expect(first.lock).toMatchObject({ held: true, signal: { aborted: false } });
      const left = machineTime();
      expect(await first.lock.release()).toBe('released');
      const second = await granted;
      await second.lock.release();
      expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
    },
  );

  it.concurrent(
    'is cut off from a holder: the holder knows before another is granted',
    async () => {
      const key = 'cut off';
      const ttl = 3_000;
      const { server, view, service } = await own();
      const proxy = await scene.proxy(server.port);
      const remote = scene.service({ hosts: proxy.url.replace('redis:', 'http:') });
      const next = service();
      const first = await entered(remote.acquire(key, { ttl }));
      const loss = lost(first.lock);
      const granted = entered(next.acquire(key));
      await view.queued(key, 1);
      await proxy.refuse();
      const { reason, at } = await loss;
      expect(reason).toMatchObject({ reason: 'backend' });
      const second = await granted;
      expect(second.at).toBeGreaterThan(at);
      await proxy.admit();
      expect(await first.lock.release()).toBe('backend');
      expect(second.lock.held).toBe(true);
      expect(await second.lock.release()).toBe('released');
      expect(violations([visit(key, first, at), visit(key, second)])).toEqual([]);
    },
  );

  it.concurrent('a short cut is not felt by the holder, and costs a waiter no place', async () => {
    const key = 'short cut';
    const ttl = 6_000;
    const { server, view, service } = await own();
    const proxy = await scene.proxy(server.port);
    const hosts = proxy.url.replace('redis:', 'http:');
    const [remote, waiter, last] = [scene.service({ hosts }), scene.service({ hosts }), service()];
    const first = await entered(remote.acquire(key, { ttl }));
    const second = entered(waiter.acquire(key));
    await view.queued(key, 1);
    const third = entered(last.acquire(key));
    await view.queued(key, 2);
    await proxy.refuse();
    await sleep(1_000);
    await proxy.admit();
    await eventually('a ttl', () => machineTime() > first.at + ttl + EXPIRY);
    expect(first.lock).toMatchObject({ held: true, signal: { aborted: false } });
    expect(await first.lock.release()).toBe('released');
    const { lock } = await second;
    await lock.release();
    expect((await third).token).toBeGreaterThan(lock.fencingToken);
  });
});
