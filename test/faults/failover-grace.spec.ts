import { LockBackendError, LockTimeoutError } from 'nestjs-lock';
import { RedisBackend, type RedisBackendOptions } from 'nestjs-lock/redis';
import { redisScripts } from '../../lib/backends/redis/redis-scripts.js';
import { eventually } from '../support/eventually.js';
import { entered, lost, machineTime, violations, visit } from '../support/history.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';

/** The ttl of all leases here, and so the length of a grace, in milliseconds. */
const TTL = 2_000;

/** What is written of the server, see _guard.lua. */
interface Memory {
  readonly run: string;
  readonly previous: string;
  readonly grace: number;
  readonly longest: number;
}

describe('a Redis that forgot what it granted', () => {
  const scene = new Scene();

  afterAll(() => scene.end());

  async function server(settings: Partial<RedisBackendOptions> = {}, clock = false) {
    const shim = clock ? scene.clock() : undefined;
    const redis = await scene.redis([], shim);
    const client = scene.client(redis.url);
    const view = new RedisView(client);
    const options = { url: redis.url, failoverGrace: 'on', ...settings } as RedisBackendOptions;
    const memory = async (): Promise<Memory> => {
      const [run, previous, grace, longest] = ((await client.get(view.keyspace.guard)) ?? '').split(
        ' ',
      );
      return { run: run!, previous: previous!, grace: Number(grace), longest: Number(longest) };
    };
    return {
      redis,
      client,
      view,
      memory,
      clock: shim,
      service: () =>
        scene.service(redis.url, { backend: new RedisBackend(options), ttl: TTL, wait: 20_000 }),
      restart: async () => {
        await redis.kill();
        await redis.launch();
        return machineTime();
      },
    };
  }

  it.concurrent(
    'and restarted: the holder keeps its lock, and nobody else is granted anything',
    async () => {
      const { client, restart, service, view } = await server();
      const [holder, waiter, other] = [service(), service(), service()];
      for (const one of [waiter, other]) await one.withLock('warm up', () => undefined);
      const first = await entered(holder.acquire('k'));
      const next = entered(waiter.acquire('k'));
      await view.queued('k', 1);

      const back = await restart();
      // Another key, which nobody held: that cannot be known.
      const refused: unknown = await other.tryAcquire('k2').catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(LockBackendError);
      expect(String(refused)).toMatch(/lost its memory.*grants nothing new for \d+ ms/);
      const free = entered(other.acquire('k2'));
      await expect(other.acquire('k2', { wait: 100 })).rejects.toBeInstanceOf(LockBackendError);

      await eventually('asserted anew', async () => (await view.token('k')) === first.token);
      expect(await other.tryAcquire('k')).toBeNull();
      const second = await free;
      expect(second.at - back).toBeGreaterThan(TTL - 50);
      expect(second.token).toBeGreaterThan(first.token);
      await eventually('two ttl', () => machineTime() > back + 2 * TTL);
      expect(first.lock).toMatchObject({ held: true, signal: { aborted: false } });

      const left = machineTime();
      expect(await first.lock.release()).toBe('released');
      const third = await next;
      await third.lock.release();
      await second.lock.release();
      expect(violations([visit('k', first, left), visit('k', third)])).toEqual([]);
      const names = [view.keyspace.guard, view.keyspace.sequence];
      await eventually('nothing left', async () => {
        return (await client.keys('*')).sort().join() === names.sort().join();
      });
    },
  );

  it.concurrent('and was flushed: as if it had restarted', async () => {
    const { client, service, view } = await server();
    const [holder, waiter] = [service(), service()];
    const first = await entered(holder.acquire('k'));
    const next = entered(waiter.acquire('k'));
    await view.queued('k', 1);
    await client.flushall();
    const flushed = machineTime();
    await eventually('asserted anew', async () => (await view.token('k')) === first.token);
    await eventually('two ttl', () => machineTime() > flushed + 2 * TTL);
    expect(first.lock).toMatchObject({ held: true, signal: { aborted: false } });
    const left = machineTime();
    await first.lock.release();
    const second = await next;
    await second.lock.release();
    expect(violations([visit('k', first, left), visit('k', second)])).toEqual([]);
  });

  it.concurrent(
    'and the holder releases in the grace: that is a release, and the next one waits for its end',
    async () => {
      const { restart, service, view } = await server();
      const [holder, waiter] = [service(), service()];
      const first = await entered(holder.acquire('k', { renew: false }));
      const next = entered(waiter.acquire('k'));
      await view.queued('k', 1);
      const back = await restart();
      expect(await first.lock.release()).toBe('released');
      const second = await next;
      expect(second.at - back).toBeGreaterThan(TTL - 50);
      expect(second.token).toBeGreaterThan(first.token);
      await second.lock.release();
    },
  );

  it.concurrent(
    'of a lease that is older than another: the younger one holds the lock',
    async () => {
      const { client, redis, service, view } = await server();
      const holder = service();
      const first = await entered(holder.acquire('k'));
      await redis.kill();
      await redis.launch();
      // What a lagging replica would still have: the lease of the holder before.
      const [name] = view.keyspace.of('k');
      await client.set(name, `before:1 ${first.token - 1}`, 'PX', 60_000);
      await eventually('asserted anew', async () => (await view.token('k')) === first.token);
      expect(first.lock.held).toBe(true);

      // And the other way round.
      const loss = lost(first.lock);
      await client.set(name, `later:1 ${first.token + 1}`, 'PX', 60_000);
      expect((await loss).reason).toMatchObject({ reason: 'stolen' });
      expect(await view.token('k')).toBe(first.token + 1);
      await first.lock.release();
      expect(await view.token('k')).toBe(first.token + 1);
    },
  );

  it.concurrent(
    'of readers and permits: they hold on beside each other, and nobody else is let in',
    async () => {
      const { client, restart, service, view } = await server();
      const [one, other, third] = [service(), service(), service()];
      const held = [
        await one.acquire('k', { mode: 'shared' }),
        await other.acquire('k', { mode: 'shared' }),
        await one.acquire('p', { limit: 2 }),
        await other.acquire('p', { limit: 2 }),
      ];
      const downgraded = await one.acquire('d');
      await downgraded.downgrade();
      await third.withLock('warm up', () => undefined);
      const back = await restart();
      await eventually('asserted anew', async () => {
        const states = await Promise.all(['k', 'p', 'd'].map((key) => third.inspect(key)));
        return states.map(({ holders }) => holders.length).join() === '2,2,1';
      });
      const { holders } = await third.inspect('k');
      expect(holders.map(({ fencingToken, mode }) => [fencingToken, mode])).toEqual(
        held.slice(0, 2).map(({ fencingToken }) => [fencingToken, 'shared']),
      );
      await expect(third.tryAcquire('k', { mode: 'shared' })).rejects.toThrow(LockBackendError);
      expect(await third.tryAcquire('k')).toBeNull();
      expect(await third.tryAcquire('p', { limit: 2 })).toBeNull();
      const reader = await third.acquire('k', { mode: 'shared' });
      expect(machineTime() - back).toBeGreaterThan(TTL - 50);
      for (const lock of held) expect(lock.held).toBe(true);
      for (const lock of [...held, downgraded, reader]) {
        expect(await lock.release()).toBe('released');
      }
      const names = [view.keyspace.guard, view.keyspace.sequence];
      await eventually('nothing left', async () => {
        return (await client.keys('*')).sort().join() === names.sort().join();
      });
    },
  );

  it.concurrent(
    'of leases that cannot stand beside each other: the younger ones hold the lock',
    async () => {
      const { client, redis, view } = await server();
      const proxy = await scene.proxy(redis.port);
      const backend = new RedisBackend({ url: proxy.url, failoverGrace: 'on' });
      const holder = scene.service(backend, { ttl: 3 * TTL });
      const writer = await holder.acquire('w');
      const reader = await holder.acquire('r', { mode: 'shared' });
      const permit = await holder.acquire('p', { limit: 2 });
      await proxy.refuse();
      await redis.kill();
      await redis.launch();
      // What a lagging replica would still have.
      const till = Date.now() + 60_000;
      const token = permit.fencingToken;
      const put = async (key: string, limit: number, ...tokens: number[]) => {
        const name = view.keyspace.lockOf(key);
        const fields = tokens.flatMap((token, n) => [`before:${n}`, `${token} ${till}`]);
        await client.hset(name, '#', `${limit} ${till}`, ...fields);
        await client.pexpire(name, 60_000);
      };
      await put('w', 1, writer.fencingToken - 2, writer.fencingToken - 1);
      await client.set(view.keyspace.lockOf('r'), `before:1 ${reader.fencingToken - 1}`);
      await put('p', 2, token - 1, token + 1);
      await proxy.admit();
      const holders = async (key: string) =>
        (await holder.inspect(key)).holders.map(({ fencingToken }) => fencingToken);
      await eventually('asserted anew', async () => (await holders('p')).includes(token));
      expect(await holders('p')).toEqual([token, token + 1]);
      await eventually('asserted anew', async () => {
        return [...(await holders('w')), ...(await holders('r'))].length === 2;
      });
      expect(await holders('w')).toEqual([writer.fencingToken]);
      expect(await holders('r')).toEqual([reader.fencingToken]);

      const loss = lost(permit);
      await client.del(view.keyspace.lockOf('p'));
      await put('p', 2, token + 1, token + 2);
      expect((await loss).reason).toMatchObject({ reason: 'stolen' });
      for (const lock of [writer, reader, permit]) await lock.release();
    },
  );

  it.concurrent(
    'and one who knows nothing of that comes first: the first who knows begins the grace',
    async () => {
      const { memory, redis, restart, service } = await server();
      const holder = service();
      await holder.withLock('k', () => undefined);
      const knew = (await memory()).run;
      const proxyless = scene.client(redis.url);
      await holder.close();

      await restart();
      const fresh = service();
      await fresh.withLock('k', () => undefined);
      expect(await memory()).toMatchObject({ previous: '-', grace: 0 });
      // A process that was away comes back: as enter.lua sees it.
      const { keyspace } = new RedisView(proxyless);
      const { run } = await memory();
      const names = [keyspace.sequence, keyspace.guard];
      const enter = () =>
        proxyless.eval(redisScripts.enter.source, 2, ...names, run, knew, 0, TTL, 0) as Promise<
          [number, number, number, number]
        >;
      const [, left, longest, begun] = await enter();
      expect([begun, longest]).toEqual([1, TTL]);
      expect(left).toBe(TTL);
      expect(await memory()).toMatchObject({ run, previous: knew });
      // Nor does the next one begin it again.
      const [, rest, , again] = await enter();
      expect(again).toBe(0);
      expect(rest).toBeLessThanOrEqual(left);

      const before = machineTime();
      await fresh.withLock('k', () => undefined);
      expect(machineTime() - before).toBeGreaterThan(TTL / 2);
    },
  );

  it.concurrent(
    'as it was the master before, and took over again before it had heard of the one in between',
    async () => {
      const [node, between] = [await scene.redis(), await scene.redis()];
      const proxy = await scene.proxy(between.port);
      const backend = new RedisBackend({ url: proxy.url, failoverGrace: 'on' });
      const service = scene.service(proxy.url, { backend, ttl: TTL, wait: 20_000 });
      const work = () => service.withLock('warm up', () => undefined);
      const leadTo = ({ port }: { port: number }) => {
        proxy.lead(port);
        proxy.cut();
      };
      await work();
      leadTo(node);
      await work();
      await between.kill();
      await between.launch();
      leadTo(between);
      await work();

      const first = await entered(service.acquire('k'));
      leadTo(node);
      await eventually('a grace', async () => {
        const answer: unknown = await service.tryAcquire('k2').catch(String);
        // Until it is connected again it says something else.
        if (typeof answer !== 'string') throw new Error('granted');
        return answer.includes('grants nothing new');
      });
      // Its holder has put it back by then.
      await work();
      const left = machineTime();
      await first.lock.release();
      const second = await entered(service.acquire('k'));
      expect(violations([visit('k', first, left), visit('k', second)])).toEqual([]);
      await second.lock.release();
    },
  );

  it.concurrent(
    'as far as anybody can tell: strict waits for the longest ttl at the first start of all',
    async () => {
      const { service } = await server({ failoverGrace: 'strict', longestTtl: '1s' });
      const start = machineTime();
      await service().withLock('k', () => undefined);
      expect(machineTime() - start).toBeGreaterThan(950);
    },
  );

  it.concurrent('does not stay closed for a lease as long as one of long ago', async () => {
    const { clock, memory, service } = await server({}, true);
    const locks = service();
    const minute = 60_000;
    await locks.withLock('k', { ttl: 60 * minute }, () => undefined);
    const lengths: number[] = [];
    for (let passed = 0; passed < 300; passed += 5) {
      clock!.step(passed * minute);
      await locks.withLock('k', () => undefined);
      lengths.push((await memory()).longest / minute);
    }
    expect(lengths.slice(0, 12).every((length) => length === 60)).toBe(true);
    expect(lengths.at(-1)).toBeLessThanOrEqual(TTL / minute);
    // By halves, each after so much time as it still had to count.
    expect(lengths).toContain(30);
    expect(lengths).toContain(15);
  });

  it.concurrent(
    'is found out through all who were there: by the longest ttl that any of them knows',
    async () => {
      const { memory, restart, service } = await server();
      const [one, other] = [service(), service()];
      await one.withLock('k', () => undefined);
      const long = await other.acquire('long', { ttl: 3 * TTL });
      const back = await restart();
      await eventually('both entered', async () => (await memory()).longest === 3 * TTL);
      const next = await entered(one.acquire('k'));
      expect(next.at - back).toBeGreaterThan(3 * TTL - 100);
      expect(long.held).toBe(true);
      await long.release();
      await next.lock.release();
    },
  );
});

describe('a grant that replicas must have', () => {
  const scene = new Scene();

  afterAll(() => scene.end());

  it('is given back while too few have it, and granted again when they do', async () => {
    const redis = await scene.redis();
    const client = scene.client(redis.url);
    const view = new RedisView(client);
    const open = () =>
      scene.service(redis.url, { backend: new RedisBackend({ url: redis.url, replicas: 1 }) });
    const [holder, waiter] = [open(), open()];
    const error: unknown = await holder
      .acquire('k', { wait: 1_500 })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LockBackendError);
    expect(error).not.toBeInstanceOf(LockTimeoutError);
    expect(String(error)).toMatch(/too few replicas/);
    await view.untouched('k');

    const granted = entered(holder.acquire('k', { wait: 20_000 }));
    await scene.redis([
      '--replicaof',
      '127.0.0.1',
      String(redis.port),
      '--repl-diskless-sync-delay',
      '0',
    ]);
    const first = await granted;
    expect(await client.wait(1, 1)).toBe(1);

    // A hand-off as well.
    const next = entered(waiter.acquire('k'));
    await view.queued('k', 1);
    await view.heard('k');
    const left = machineTime();
    await first.lock.release();
    const second = await next;
    await client.config('SET', 'min-replicas-to-write', 0);
    await second.lock.release();
    expect(violations([visit('k', first, left), visit('k', second)])).toEqual([]);
  });
});
