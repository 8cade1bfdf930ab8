import type { Redis } from 'ioredis';
import { Crew } from '../support/crew.js';
import { eventually } from '../support/eventually.js';
import { FencedResource } from '../support/fenced-resource.js';
import { entered, machineTime, violations, visit } from '../support/history.js';
import { Scene } from '../support/scene.js';
import { backendOf, storeKinds, StoreView } from '../support/stores.js';
import type { WorkerProcess } from '../support/worker-process.js';
import type { Locks } from '../support/worker.js';

const crew = new Crew();

afterAll(() => crew.end());

describe.each(storeKinds)('processes that share $name', ({ start }) => {
  const scene = new Scene();
  let locks: Locks;
  let redis: Redis;
  let view: StoreView;
  let workers: WorkerProcess[];

  beforeAll(async () => {
    locks = await start(scene);
    redis = await crew.resource();
    view = new StoreView(scene, locks);
    workers = await crew.at(locks, 5, scene);
  });

  afterAll(() => scene.end());

  const service = () => scene.service(backendOf(locks));

  it('4 of them with 8 callers each lose no update of an unprotected counter', async () => {
    const histories = await Promise.all(
      workers.slice(0, 4).map((worker) => worker.call('count', 'shared', 'counter', 8, 700)),
    );
    const history = histories.flat();

    expect(await redis.get('counter')).toBe(String(history.length));
    expect(violations(history)).toEqual([]);
    // The resource has its own account of who came in which order.
    const tokens = (await redis.lrange('counter:tokens', 0, -1)).map(Number);
    expect(tokens).toHaveLength(history.length);
    expect(tokens).toEqual([...tokens].sort((one, other) => one - other));
    expect(new Set(tokens).size).toBe(tokens.length);
    for (const visits of histories) expect(visits.length).toBeGreaterThan(1);
  });

  it.concurrent('the holder is killed: the next one enters when its ttl is over', async () => {
    const key = 'killed holder';
    const ttl = 2_000;
    const holder = workers[0]!;
    const first = await holder.call('acquire', 'lock', key, { ttl });
    const next = service();
    const granted = entered(next.acquire(key));
    await view.queued(key, 1);

    const killed = machineTime();
    await holder.kill();
    const expiry = await view.expiry(key);
    const second = await granted;

    expect(second.at).toBeGreaterThanOrEqual(expiry);
    await second.lock.release();
    expect(violations([visit(key, first, killed), visit(key, second)])).toEqual([]);
  });

  it.concurrent('the first waiter is killed: the release grants the next', async () => {
    const key = 'killed waiter';
    const [holder, dead, next] = [service(), workers[1]!, service()];
    const first = await entered(holder.acquire(key));
    const told = Promise.allSettled([dead.call('acquire', 'lock', key)]);
    await view.queued(key, 1);
    const granted = entered(next.acquire(key));
    await view.queued(key, 2);

    await dead.kill();
    await told;
    const left = machineTime();
    expect(await first.lock.release()).toBe('released');
    const second = await granted;

    await second.lock.release();
    expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
  });

  it.concurrent(
    'the holder is stopped for three ttl: it knows at once, and is refused',
    async () => {
      const key = 'stopped holder';
      const ttl = 1_000;
      const resource = new FencedResource(redis, 'stopped holder: resource');
      const holder = workers[2]!;
      const first = await holder.call('acquire', 'lock', key, { ttl });
      expect(await resource.writeFrom(holder, 'lock')).toBe(true);
      const next = service();
      const granted = entered(next.acquire(key));
      await view.queued(key, 1);
      await holder.call('watch', 'lock', 2 * ttl);
      const look = holder.look('paused', 'lock');
      // So that none is under way when it is stopped: then the backend would be the reason.
      await holder.call('renew', 'lock');

      const stopped = machineTime();
      holder.freeze();
      const second = await granted;
      expect(await resource.write(second.token)).toBe(true);
      await eventually('three ttl', () => machineTime() > stopped + 3 * ttl);
      holder.thaw();

      expect(await look).toMatchObject({ held: false, aborted: true, reason: 'expired' });
      expect(await resource.writeFrom(holder, 'lock')).toBe(false);
      expect(await holder.call('release', 'lock')).toBe('expired');
      expect(second.lock.held).toBe(true);
      expect(await second.lock.release()).toBe('released');
      const stay = visit(key, first, undefined, false);
      expect(violations([stay, visit(key, second)])).toEqual([]);
    },
  );

  it.concurrent('a waiter is stopped: the others lose little', async () => {
    const key = 'stopped waiter';
    const [holder, next] = [service(), service()];
    const stopped = workers[3]!;
    const first = await entered(holder.acquire(key));
    const late = stopped.call('acquire', 'lock', key);
    await view.queued(key, 1);
    const granted = entered(next.acquire(key));
    await view.queued(key, 2);

    stopped.freeze();
    const left = machineTime();
    await first.lock.release();
    const second = await granted;

    // Who was stopped finds its claim void, and stands in the queue again.
    stopped.thaw();
    await view.queued(key, 1);
    const leave = machineTime();
    await second.lock.release();
    const third = await late;
    expect(await stopped.call('look', 'lock')).toMatchObject({ held: true, aborted: false });
    await stopped.call('release', 'lock');
    expect(
      violations([visit(key, first, left), visit(key, second, leave), visit(key, third)]),
    ).toEqual([]);
  });

  it.concurrent('the event loop is held up beyond the ttl: the next look knows', async () => {
    const key = 'held up';
    const ttl = 1_000;
    const resource = new FencedResource(redis, 'held up: resource');
    const holder = workers[4]!;
    const first = await holder.call('acquire', 'lock', key, { ttl });
    const next = service();
    const granted = entered(next.acquire(key, { ttl: 10_000 }));
    await view.queued(key, 1);

    // So that none is under way meanwhile: then the backend would be the reason.
    await holder.call('renew', 'lock');
    const look = holder.call('block', 'lock', 2 * ttl);
    const second = await granted;
    expect(await resource.write(second.token)).toBe(true);

    expect(await look).toMatchObject({ held: false, aborted: true, reason: 'expired' });
    expect(await resource.writeFrom(holder, 'lock')).toBe(false);
    // A renewal that was due meanwhile revives nothing.
    expect(await holder.call('look', 'lock')).toMatchObject({ held: false, aborted: true });
    expect(await holder.call('release', 'lock')).toBe('expired');
    expect(await second.lock.release()).toBe('released');
    const stay = visit(key, first, undefined, false);
    expect(violations([stay, visit(key, second)])).toEqual([]);
  });

  it('a process exits with a lock in its hands: the next one enters when its ttl is over', async () => {
    const key = 'left behind';
    const ttl = 1_000;
    // Whom the tests before have left in peace by now.
    const holder = workers[4]!;
    const first = await holder.call('acquire', 'lock', key, { ttl });
    const next = service();
    const granted = entered(next.acquire(key));
    await view.queued(key, 1);

    const exiting = machineTime();
    await expect(holder.call('exit', 0)).rejects.toThrow('the worker has ended');
    const expiry = await view.expiry(key);
    const second = await granted;

    expect(second.at).toBeGreaterThanOrEqual(expiry);
    await second.lock.release();
    expect(violations([visit(key, first, exiting), visit(key, second)])).toEqual([]);
  });
});
