import { setTimeout as sleep } from 'node:timers/promises';
import type { LockService } from 'nestjs-lock';
import type { EtcdCluster } from '../support/etcd-cluster.js';
import { EtcdScene } from '../support/etcd-scene.js';
import type { EtcdView } from '../support/etcd-view.js';
import { eventually } from '../support/eventually.js';
import { entered, lost, machineTime, type Visit, violations, visit } from '../support/history.js';

// One after the other: each breaks the cluster for all.
describe('an etcd cluster of three', () => {
  const scene = new EtcdScene();
  let cluster: EtcdCluster;
  let view: EtcdView;
  let services: LockService[];

  beforeAll(async () => {
    cluster = await scene.cluster();
    view = scene.view(cluster.urls);
    services = [1, 2, 3, 4].map(() => scene.service({ hosts: cluster.urls }));
  });

  afterAll(() => scene.end());

  /** All members answer, and agree on a leader. */
  async function healthy(): Promise<void> {
    for (const { url } of cluster.members) {
      const client = scene.client(url);
      await eventually(`${url} serves`, () =>
        client
          .get('k')
          .options({ deadline: Date.now() + 1_000 })
          .then(
            () => true,
            () => false,
          ),
      );
    }
  }

  /** So many callers of each service take the lock in turns while this goes on. */
  async function expectOrder(key: string, callers: number, meanwhile: () => Promise<void>) {
    const history: Visit[] = [];
    let over = false;
    const caller = async (service: LockService) => {
      while (!over) {
        await service.withLock(key, { ttl: '4s', wait: '30s' }, async (lock) => {
          const entry = { token: lock.fencingToken, at: machineTime() };
          const loss = lost(lock);
          await Promise.race([sleep(2), loss]);
          history.push(visit(key, entry, machineTime(), lock.held));
        });
      }
    };
    // What is lost is told to its caller, and is no failure here: the history shows what happened.
    const working = services.flatMap((service) =>
      Array.from({ length: callers }, async () => {
        while (!over) await caller(service).catch(() => undefined);
      }),
    );
    await eventually('a start', () => history.length > 20);
    await meanwhile();
    const before = history.length;
    await eventually('it goes on', () => history.length > before + 100);
    over = true;
    await Promise.all(working);
    expect(violations(history)).toEqual([]);
    await view.untouched(key);
  }

  it('loses its leader while a lock is held and waited for: it is kept, and handed over', async () => {
    const key = 'leader killed';
    const ttl = 5_000;
    const [holder, next] = services;
    const first = await entered(holder!.acquire(key, { ttl }));
    const granted = entered(next!.acquire(key, { ttl, wait: 30_000 }));
    await view.queued(key, 1);
    const leader = await cluster.leader();
    await leader.process.kill();
    const killed = machineTime();
    await eventually('longer than a ttl', () => machineTime() > killed + ttl + 1_000);
    expect(first.lock).toMatchObject({ held: true, signal: { aborted: false } });
    const left = machineTime();
    expect(await first.lock.release()).toBe('released');
    const second = await granted;
    expect(await second.lock.release()).toBe('released');
    expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
    await leader.process.launch();
    await healthy();
  });

  it('loses its leader in the middle of work: no overlap, rising tokens', async () => {
    const leader = await cluster.leader();
    await expectOrder('work: killed', 4, async () => {
      await leader.process.kill();
      await sleep(2_000);
      await leader.process.launch();
    });
    await healthy();
  });

  it('has its leader frozen in the middle of work', async () => {
    const leader = await cluster.leader();
    await expectOrder('work: frozen', 4, async () => {
      leader.process.freeze();
      await sleep(5_000);
      leader.process.thaw();
    });
    await healthy();
  });

  it('has its leader cut off from the others, but not from us', async () => {
    const leader = await cluster.leader();
    await expectOrder('work: cut off', 4, async () => {
      await cluster.cutOff(leader);
      const others = cluster.members.filter((member) => member !== leader);
      await eventually('another leader', async () => (await cluster.leader(others)) !== leader);
      await sleep(3_000);
      cluster.restore();
    });
    await healthy();
  });

  it('has a member cut off, and with it a holder who knows no other', async () => {
    const key = 'minority';
    const ttl = 3_000;
    const member = await cluster.follower();
    const alone = scene.service({ hosts: member.url });
    const [next] = services;
    const first = await entered(alone.acquire(key, { ttl }));
    const loss = lost(first.lock);
    const granted = entered(next!.acquire(key, { wait: 30_000 }));
    await view.queued(key, 1);
    await cluster.cutOff(member);
    const { at } = await loss;
    const second = await granted;
    expect(second.at).toBeGreaterThan(at);
    expect(violations([visit(key, first, at), visit(key, second)])).toEqual([]);
    cluster.restore();
    expect(await first.lock.release()).not.toBe('released');
    expect(second.lock.held).toBe(true);
    expect(await second.lock.release()).toBe('released');
    await healthy();
  });

  it('has a member frozen that some talk to: they go on with another', async () => {
    const key = 'frozen member';
    const ttl = 3_000;
    const [holder, next] = services;
    const first = await entered(holder!.acquire(key, { ttl }));
    const granted = entered(next!.acquire(key, { ttl, wait: 30_000 }));
    await view.queued(key, 1);
    const member = await cluster.follower();
    member.process.freeze();
    const frozen = machineTime();
    await eventually('three ttl', () => machineTime() > frozen + 3 * ttl);
    expect(first.lock).toMatchObject({ held: true, signal: { aborted: false } });
    await first.lock.release();
    await (await granted).lock.release();
    member.process.thaw();
    await healthy();
  });
});
