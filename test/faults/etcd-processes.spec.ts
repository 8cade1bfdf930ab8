import type { Redis } from 'ioredis';
import type { EtcdCluster } from '../support/etcd-cluster.js';
import { EtcdScene } from '../support/etcd-scene.js';
import type { EtcdView } from '../support/etcd-view.js';
import { freePort } from '../support/free-port.js';
import { entered, machineTime, violations, visit } from '../support/history.js';
import { Scene } from '../support/scene.js';
import type { WorkerProcess } from '../support/worker-process.js';
import type { WorkerSettings } from '../support/worker.js';

/** How long waiters live without a sign of life, and how much later etcd itself ends a lease, in milliseconds. */
const [WAITING_TTL, EXPIRY] = [4_000, 1_500];

/** Of a process that ends quietly, and of one that first tries in vain to release what it holds, in milliseconds. */
const [PROMPT, PATIENT] = [2_000, 6_500];

describe('processes on etcd', () => {
  const scene = new Scene();
  const etcd = new EtcdScene();
  let cluster: EtcdCluster;
  let view: EtcdView;
  let redis: Redis;
  let url: string;

  const worker = (hosts: string[], settings: Partial<WorkerSettings> = {}) =>
    scene.worker(url, { locks: { etcd: { hosts } }, ...settings });

  beforeAll(async () => {
    ({ url } = await scene.redis());
    redis = scene.client(url);
    cluster = await etcd.cluster();
    view = etcd.view(cluster.urls);
  }, 30_000);

  afterAll(async () => {
    await scene.end();
    await etcd.end();
  }, 30_000);

  it('4 of them with 8 callers each lose no update of an unprotected counter in 10 s', async () => {
    const workers: WorkerProcess[] = await Promise.all(
      Array.from({ length: 4 }, () => worker(cluster.urls)),
    );
    const histories = await Promise.all(
      workers.map((one) => one.call('count', 'shared', 'counter', 8, 10_000)),
    );
    const history = histories.flat();

    expect(await redis.get('counter')).toBe(String(history.length));
    expect(violations(history)).toEqual([]);
    const tokens = (await redis.lrange('counter:tokens', 0, -1)).map(Number);
    expect(tokens).toHaveLength(history.length);
    expect(tokens).toEqual([...tokens].sort((one, other) => one - other));
    expect(new Set(tokens).size).toBe(tokens.length);
    for (const visits of histories) expect(visits.length).toBeGreaterThan(20);
  }, 40_000);

  it('the holder is killed: the next one enters when its ttl is over', async () => {
    const key = 'killed holder';
    const ttl = 2_000;
    const holder = await worker(cluster.urls);
    const first = await holder.call('acquire', 'lock', key, { ttl });
    const granted = entered(etcd.service({ hosts: cluster.urls }).acquire(key));
    await view.queued(key, 1);
    const killed = machineTime();
    await holder.kill();
    const second = await granted;
    expect(second.at - killed).toBeLessThan(ttl + EXPIRY);
    expect(violations([visit(key, first, killed), visit(key, second)])).toEqual([]);
    expect(await second.lock.release()).toBe('released');
  }, 15_000);

  it('two waiters are killed: they cost those behind them a few seconds together, not their ttl', async () => {
    const key = 'killed waiters';
    const [first, second] = [await worker(cluster.urls), await worker(cluster.urls)];
    const [holder, last] = [1, 2].map(() => etcd.service({ hosts: cluster.urls }));
    const held = await entered(holder!.acquire(key));
    const told = Promise.allSettled([
      first.call('acquire', 'lock', key, { ttl: '1m', wait: 60_000 }),
      second.call('acquire', 'lock', key, { ttl: '1m', wait: 60_000 }),
    ]);
    await view.queued(key, 2);
    const granted = entered(last!.acquire(key, { wait: 60_000 }));
    await view.queued(key, 3);
    await Promise.all([first.kill(), second.kill()]);
    await told;
    const left = machineTime();
    await held.lock.release();
    const next = await granted;
    expect(next.at - left).toBeLessThan(WAITING_TTL + EXPIRY);
    expect(await next.lock.release()).toBe('released');
    await view.untouched(key);
  }, 20_000);

  it('the holder is stopped for three ttl: it knows at once', async () => {
    const key = 'stopped holder';
    const ttl = 2_000;
    const holder = await worker(cluster.urls);
    const first = await holder.call('acquire', 'lock', key, { ttl });
    const granted = entered(etcd.service({ hosts: cluster.urls }).acquire(key));
    await view.queued(key, 1);
    await holder.call('watch', 'lock', 2 * ttl);
    const look = holder.look('paused', 'lock');
    const stopped = machineTime();
    holder.freeze();
    const second = await granted;
    await new Promise((resolve) => setTimeout(resolve, stopped + 3 * ttl - machineTime()));
    holder.thaw();
    expect(await look).toMatchObject({ held: false, aborted: true, reason: 'expired' });
    expect(await holder.call('release', 'lock')).toBe('expired');
    expect(second.lock.held).toBe(true);
    expect(await second.lock.release()).toBe('released');
    const stay = visit(key, first, stopped + ttl, false);
    expect(violations([stay, visit(key, second)])).toEqual([]);
  }, 20_000);

  // Each must end with code 0, so without an unhandled rejection; without process.exit().
  describe('exit by themselves after close()', () => {
    it.concurrent(
      'with a lock in their hands and callers in the queue',
      async () => {
        const busy = await etcd.service({ hosts: cluster.urls }).acquire('exit: busy');
        const one = await worker(cluster.urls, { grace: 300 });
        await one.call('acquire', 'lock', 'exit: held');
        const told = Promise.allSettled([one.call('acquire', 'never', 'exit: busy')]);
        await view.queued('exit: busy', 1);
        expect(await one.close()).toBeLessThan(PROMPT);
        expect(await told).toMatchObject([{ reason: { name: 'LockShutdownError' } }]);
        expect(await one.ended).toEqual({ code: 0, signal: null });
        await view.untouched('exit: held', 100);
        await view.queued('exit: busy', 0);
        await busy.release();
      },
      15_000,
    );

    it.concurrent(
      'when etcd was never there',
      async () => {
        const one = await worker([`http://127.0.0.1:${await freePort()}`]);
        const asked = one.call('acquire', 'lock', 'exit', { wait: 300 });
        await expect(asked).rejects.toMatchObject({ name: 'LockBackendError' });
        expect(await one.close()).toBeLessThan(PROMPT);
        expect(await one.ended).toEqual({ code: 0, signal: null });
      },
      15_000,
    );

    it.concurrent.each(['killed', 'frozen'])(
      'when etcd was %s meanwhile',
      async (fate) => {
        const server = await etcd.server();
        const there = etcd.view(server.url);
        const one = await worker([server.url], { grace: 300 });
        await one.call('acquire', 'lock', 'exit: held', { ttl: 2_000 });
        const waiting = one.call('acquire', 'never', 'exit: held', { wait: 20_000 });
        const told = Promise.allSettled([waiting]);
        await there.queued('exit: held', 0);
        if (fate === 'killed') await server.kill();
        else server.freeze();
        expect(await one.close()).toBeLessThan(PATIENT);
        await told;
        expect(await one.ended).toEqual({ code: 0, signal: null });
      },
      20_000,
    );
  });
});
