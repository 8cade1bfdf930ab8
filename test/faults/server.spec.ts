import { LockBackendError, LockLostError } from 'nestjs-lock';
import { eventually } from '../support/eventually.js';
import { FencedResource } from '../support/fenced-resource.js';
import { entered, lost, machineTime, violations, visit } from '../support/history.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';

/** How often waiters look by themselves, and how long they live without a look, in milliseconds. */
const [HEARTBEAT, LIVENESS] = [1_450, 3_500];

describe('the server', () => {
  const scene = new Scene();

  afterAll(() => scene.end());

  /** A server of a test's own. */
  async function server() {
    const redis = await scene.redis();
    const client = scene.client(redis.url);
    return { redis, client, view: new RedisView(client), url: redis.url };
  }

  it.concurrent('restarts empty: the holder is told, those who wait are served', async () => {
    const key = 'restart';
    const ttl = 6_000;
    const { redis, view, url } = await server();
    // The resource is somewhere else.
    const resource = new FencedResource((await server()).client, 'resource');
    const [holder, ...others] = [url, url, url].map((one) => scene.service(one));
    const first = await entered(holder!.acquire(key, { ttl }));
    const loss = lost(first.lock);
    const granted = others.map((other) => entered(other.acquire(key, { wait: 20_000 })));
    await view.queued(key, 2);

    await redis.kill();
    await redis.launch();
    const { reason, at } = await loss;
    expect(reason).toMatchObject({ reason: 'stolen' });
    expect(first.lock.held).toBe(false);
    expect(await first.lock.release()).toBe('stolen');

    const second = await Promise.race(granted);
    expect(await resource.write(second.token)).toBe(true);
    expect(await resource.write(first.token)).toBe(false);
    const leave = machineTime();
    await second.lock.release();
    const third = (await Promise.all(granted)).find(({ token }) => token !== second.token)!;
    await third.lock.release();
    // An empty server knows nothing of the first holder: the resource is what refuses it.
    expect(
      violations([visit(key, first, at, false), visit(key, second, leave), visit(key, third)]),
    ).toEqual([]);
    await view.untouched(key);
  });

  it.concurrent('is flushed while a lock is held: as if it had restarted', async () => {
    const key = 'flushed';
    const ttl = 1_500;
    const { client, view, url } = await server();
    const [holder, next] = [scene.service(url), scene.service(url)];
    const first = await entered(holder.acquire(key, { ttl }));
    const loss = lost(first.lock);
    const granted = entered(next.acquire(key));
    await view.queued(key, 1);

    await client.flushall();
    const second = await granted;
    const { reason, at } = await loss;
    expect(reason).toMatchObject({ reason: 'stolen' });
    expect(await first.lock.release()).toBe('stolen');
    expect(await second.lock.release()).toBe('released');
    expect(violations([visit(key, first, at, false), visit(key, second)])).toEqual([]);
  });

  it.concurrent('forgets its scripts before every step: nothing is noticed', async () => {
    const key = 'script flush';
    const ttl = 900;
    const { client, view, url } = await server();
    const [holder, next, gone] = [url, url, url].map((one) => scene.service(one));
    const flush = () => client.script('FLUSH');
    await flush();
    const first = await entered(holder!.acquire(key, { ttl }));
    await flush();
    const granted = entered(next!.acquire(key));
    await view.queued(key, 1);
    await flush();
    const leaving = new AbortController();
    const left = gone!.acquire(key, { signal: leaving.signal });
    await view.queued(key, 2);
    await flush();
    leaving.abort(new Error('left'));
    await expect(left).rejects.toThrow('left');
    await view.queued(key, 1);

    await flush();
    const until = await view.expiry(key);
    await eventually('renewed', () => machineTime() > until);
    await flush();
    expect(await holder!.inspect(key)).toMatchObject({ waiters: 1 });
    expect(first.lock).toMatchObject({ held: true, signal: { aborted: false } });
    await flush();
    const leave = machineTime();
    expect(await first.lock.release()).toBe('released');
    const second = await granted;
    await flush();
    expect(await second.lock.release()).toBe('released');
    expect(violations([visit(key, first, leave), visit(key, second)])).toEqual([]);
  });

  it.concurrent(
    'has something else where a lock should be: that is said, and harms no other',
    async () => {
      const { client, view, url } = await server();
      const service = scene.service(url);
      const [lockKey, queueKey] = view.keyspace.of('wrong');
      await client.rpush(lockKey, 'a list');
      await expect(service.acquire('wrong')).rejects.toThrow(/WRONGTYPE.*another namespace/);
      await expect(service.tryAcquire('wrong')).rejects.toBeInstanceOf(LockBackendError);
      await client.del(lockKey);
      await client.set(queueKey, 'a string');
      await expect(service.acquire('wrong')).rejects.toBeInstanceOf(LockBackendError);
      await client.del(queueKey);
      await service.withLock('wrong', () => undefined);

      // While it is held, beside a lock that is renewed in the same call.
      const ttl = 900;
      const poisoned = await service.acquire('poisoned', { ttl });
      const beside = await service.acquire('beside', { ttl });
      const loss = lost(poisoned);
      const name = view.keyspace.of('poisoned')[0];
      await client.multi().del(name).rpush(name, 'a list').exec();
      const { reason, at } = await loss;
      expect(reason).toBeInstanceOf(LockLostError);
      await eventually('another ttl', () => machineTime() > at + ttl);
      expect(beside).toMatchObject({ held: true, signal: { aborted: false } });
      expect(await beside.release()).toBe('released');
      await poisoned.release();
    },
  );

  it.concurrent(
    'has something else where a queue should be: other waiters do not suffer',
    async () => {
      const { client, view, url } = await server();
      const [holder, waiter] = [scene.service(url), scene.service(url)];
      const poisoned = await holder.acquire('poisoned queue');
      const beside = await holder.acquire('queue beside');
      const told = waiter
        .acquire('poisoned queue', { wait: 8_000 })
        .catch((error: unknown) => error);
      await view.queued('poisoned queue', 1);
      const granted = entered(waiter.acquire('queue beside', { wait: 20_000 }));
      await view.queued('queue beside', 1);
      const name = view.keyspace.of('poisoned queue')[1];
      await client.multi().del(name).set(name, 'a string').exec();

      // Longer than a waiter lives without a sign of life.
      const poisonedAt = machineTime();
      await eventually('liveness', () => machineTime() > poisonedAt + LIVENESS + HEARTBEAT);
      await beside.release();
      const second = await granted;
      await second.lock.release();
      await poisoned.release();
      // It is not busy, it cannot be known.
      expect(await told).toBeInstanceOf(LockBackendError);
    },
  );

  it.concurrent('runs out of memory: who waits is told at once', async () => {
    const { client, view, url } = await server();
    const [holder, waiter] = [scene.service(url), scene.service(url)];
    const first = await holder.acquire('full');
    const refused = waiter.acquire('full', { wait: 30_000 }).catch((error: unknown) => error);
    await view.queued('full', 1);

    await client.config('SET', 'maxmemory', 1);
    const error = await refused;
    expect(error).toBeInstanceOf(LockBackendError);
    expect(String(error)).toMatch(/OOM.*raise maxmemory/);
    await expect(waiter.acquire('other')).rejects.toThrow(/raise maxmemory/);
    expect(first.held).toBe(true);

    await client.config('SET', 'maxmemory', 0);
    expect(await first.release()).toBe('released');
    await waiter.withLock('full', ({ held }) => {
      expect(held).toBe(true);
    });
    await view.untouched('full');
  });

  it.concurrent('a lock is released twice, together and after each other', async () => {
    const key = 'released twice';
    const { view, url } = await server();
    const [holder, next] = [scene.service(url), scene.service(url)];
    const first = await entered(holder.acquire(key));
    const granted = entered(next.acquire(key));
    await view.queued(key, 1);
    const left = machineTime();
    const outcomes = await Promise.all([first.lock.release(), first.lock.release()]);
    expect(outcomes).toEqual(['released', 'released']);
    const second = await granted;
    expect(await first.lock.release()).toBe('released');
    expect(first.lock.signal.aborted).toBe(false);
    expect(await view.token(key)).toBe(second.token);
    expect(await second.lock.release()).toBe('released');
    expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
  });
});
