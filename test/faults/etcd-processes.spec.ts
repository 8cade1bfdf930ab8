import type { EtcdCluster } from '../support/etcd-cluster.js';
import { EtcdScene } from '../support/etcd-scene.js';
import type { EtcdView } from '../support/etcd-view.js';
import { freePort } from '../support/free-port.js';
import { entered } from '../support/history.js';
import { Scene } from '../support/scene.js';
import type { WorkerSettings } from '../support/worker.js';

describe('processes on etcd', () => {
  const scene = new Scene();
  const etcd = new EtcdScene();
  let cluster: EtcdCluster;
  let view: EtcdView;
  let url: string;

  const worker = (hosts: string[], settings: Partial<WorkerSettings> = {}) =>
    scene.worker(url, { locks: { etcd: { hosts } }, ...settings });

  beforeAll(async () => {
    ({ url } = await scene.redis());
    cluster = await etcd.cluster();
    view = etcd.view(cluster.urls);
  });

  afterAll(async () => {
    await scene.end();
    await etcd.end();
  });

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
    await held.lock.release();
    const next = await granted;
    expect(await next.lock.release()).toBe('released');
    await view.untouched(key);
  });

  // Each must end with code 0, so without an unhandled rejection; without process.exit().
  describe('exit by themselves after close()', () => {
    it.concurrent('with a lock in their hands and callers in the queue', async () => {
      const busy = await etcd.service({ hosts: cluster.urls }).acquire('exit: busy');
      const one = await worker(cluster.urls, { grace: 300 });
      await one.call('acquire', 'lock', 'exit: held');
      const told = Promise.allSettled([one.call('acquire', 'never', 'exit: busy')]);
      await view.queued('exit: busy', 1);
      await one.close();
      expect(await told).toMatchObject([{ reason: { name: 'LockShutdownError' } }]);
      expect(await one.ended).toEqual({ code: 0, signal: null });
      await view.untouched('exit: held');
      await view.queued('exit: busy', 0);
      await busy.release();
    });

    it.concurrent('when etcd was never there', async () => {
      const one = await worker([`http://127.0.0.1:${await freePort()}`]);
      const asked = one.call('acquire', 'lock', 'exit', { wait: 300 });
      await expect(asked).rejects.toMatchObject({ name: 'LockBackendError' });
      await one.close();
      expect(await one.ended).toEqual({ code: 0, signal: null });
    });

    it.concurrent.each(['killed', 'frozen'])('when etcd was %s meanwhile', async (fate) => {
      const server = await etcd.server();
      const there = etcd.view(server.url);
      const one = await worker([server.url], { grace: 300 });
      await one.call('acquire', 'lock', 'exit: held', { ttl: 2_000 });
      const waiting = one.call('acquire', 'never', 'exit: held', { wait: 20_000 });
      const told = Promise.allSettled([waiting]);
      await there.queued('exit: held', 1);
      if (fate === 'killed') await server.kill();
      else server.freeze();
      await one.close();
      await told;
      expect(await one.ended).toEqual({ code: 0, signal: null });
    });
  });
});
