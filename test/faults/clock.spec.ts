import { RedisBackend } from 'nestjs-lock/redis';
import { Courier } from '../support/courier.js';
import { eventually } from '../support/eventually.js';
import { FencedResource } from '../support/fenced-resource.js';
import { entered, lost, machineTime, violations, visit } from '../support/history.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';
import { pending } from '../support/scripted-backend.js';

const MINUTE = 60_000;

describe("the server's clock", () => {
  const scene = new Scene();

  afterAll(() => scene.end());

  async function server() {
    const clock = scene.clock();
    const redis = await scene.redis([], clock);
    const client = scene.client(redis.url);
    const time = async () => Number((await client.time())[0]) * 1_000;
    clock.step(MINUTE);
    expect(Math.abs((await time()) - Date.now() - MINUTE)).toBeLessThan(MINUTE / 2);
    clock.step(0);
    expect(Math.abs((await time()) - Date.now())).toBeLessThan(MINUTE / 2);
    return { clock, client, view: new RedisView(client), url: redis.url };
  }

  it.concurrent('is set back a minute: nobody enters beside the holder, tokens rise', async () => {
    const key = 'back';
    const ttl = 1_500;
    const { clock, view, url } = await server();
    const [holder, next, third] = [url, url, url].map((one) => scene.service(one));
    const first = await entered(holder!.acquire(key, { ttl }));
    const granted = entered(next!.acquire(key, { ttl, wait: 20_000 }));
    await view.queued(key, 1);

    clock.step(-MINUTE);
    const stepped = machineTime();
    const last = entered(third!.acquire(key, { wait: 20_000 }));
    await view.queued(key, 2);
    await eventually('two ttl', () => machineTime() > stepped + 2 * ttl);
    expect(first.lock).toMatchObject({ held: true, signal: { aborted: false } });
    expect(await view.waiters(key)).toBe(2);

    // The lease would end a minute late, as no renewal shortens one; hand-offs work as ever.
    expect((await view.expiry(key)) - machineTime()).toBeLessThanOrEqual(MINUTE + ttl);
    let left = machineTime();
    const visits = [visit(key, first, left)];
    expect(await first.lock.release()).toBe('released');
    const second = await granted;
    await eventually('renewed', () => machineTime() > second.at + ttl);
    expect(second.lock.held).toBe(true);
    left = machineTime();
    visits.push(visit(key, second, left));
    expect(await second.lock.release()).toBe('released');
    const rest = await last;
    visits.push(visit(key, rest));
    await rest.lock.release();
    expect(violations(visits)).toEqual([]);
    await view.untouched(key);
  });

  it.concurrent(
    'is set back as the holder dies: the lock is free when that clock says so',
    async () => {
      const key = 'back and dead';
      const ttl = 1_000;
      const { clock, view, url } = await server();
      const holder = await scene.worker(url);
      const next = scene.service(url);
      const first = await holder.call('acquire', 'lock', key, { ttl });
      const granted = entered(next.acquire(key, { wait: 20_000 }));
      await view.queued(key, 1);
      await holder.kill();
      const killed = machineTime();
      clock.step(-MINUTE);
      await eventually('two ttl', () => machineTime() > killed + 2 * ttl);
      expect(await view.waiters(key)).toBe(1);
      expect((await view.expiry(key)) - killed).toBeLessThanOrEqual(MINUTE + ttl);

      clock.step(0);
      const second = await granted;
      await second.lock.release();
      expect(violations([visit(key, first, killed), visit(key, second)])).toEqual([]);
    },
  );

  it.concurrent('is set forward a minute: the holder is told at its next renewal', async () => {
    const key = 'forward';
    const ttl = 3_000;
    const { clock, client, view, url } = await server();
    const resource = new FencedResource(client, 'resource');
    const [holder, next, third] = [url, url, url].map((one) => scene.service(one));
    const first = await entered(holder!.acquire(key, { ttl }));
    const loss = lost(first.lock);
    const granted = entered(next!.acquire(key, { ttl, wait: 20_000 }));
    await view.queued(key, 1);
    const last = entered(third!.acquire(key, { wait: 20_000 }));
    await view.queued(key, 2);

    clock.step(MINUTE);
    const { reason, at } = await loss;
    expect(reason).toMatchObject({ reason: 'stolen' });

    // Both waiters counted as dead by the new clock; they come back with their next sign of life.
    const one = await Promise.race([granted, last]);
    expect(await resource.write(one.token)).toBe(true);
    expect(await resource.write(first.token)).toBe(false);
    await eventually('renewed', () => machineTime() > one.at + ttl);
    expect(one.lock.held).toBe(true);
    const left = machineTime();
    expect(await one.lock.release()).toBe('released');
    const other = (await Promise.all([granted, last])).find(({ token }) => token !== one.token)!;
    await other.lock.release();
    expect(
      violations([visit(key, first, at, false), visit(key, one, left), visit(key, other)]),
    ).toEqual([]);
    await view.untouched(key);
  });

  it.concurrent(
    'is set forward before a grant whose message comes late: it is not believed',
    async () => {
      const key = 'forward and late';
      const { clock, view, url } = await server();
      const courier = new Courier(url);
      const waiter = scene.service(url, { backend: new RedisBackend({ client: courier }) });
      const [holder, other] = [scene.service(url), scene.service(url)];
      await waiter.withLock('warm up', () => undefined);
      const first = await entered(holder.acquire(key));
      const granted = entered(waiter.acquire(key, { ttl: 500 }));
      await view.queued(key, 1);
      await view.heard(key);

      // By its message the grant lies in the future, and no heartbeat tells better.
      const beats = pending<undefined>();
      courier.on('heartbeat', async ({ send }) => {
        await beats.promise;
        return send();
      });
      const messages: (() => void)[] = [];
      courier.deliver = (arrive) => {
        messages.push(arrive);
      };
      clock.step(1_500);
      let left = machineTime();
      const visits = [visit(key, first, left)];
      await first.lock.release();
      await eventually('its claim is over', async () => (await view.token(key)) === undefined);
      const second = await entered(other.acquire(key));
      for (const arrive of messages) arrive();
      const again = eventually('it asks again', () => courier.count('acquire') === 3);
      expect(await Promise.race([granted.then(() => 'believed'), again])).toBeUndefined();

      courier.deliver = (arrive) => {
        arrive();
      };
      beats.resolve(undefined);
      await view.queued(key, 1);
      left = machineTime();
      visits.push(visit(key, second, left));
      await second.lock.release();
      const third = await granted;
      visits.push(visit(key, third));
      expect(await third.lock.release()).toBe('released');
      expect(violations(visits)).toEqual([]);
    },
  );

  it.concurrent('steps to and fro between grants: tokens rise all the same', async () => {
    const { clock, url } = await server();
    const service = scene.service(url);
    const tokens: number[] = [];
    for (const step of [0, MINUTE, 0, -MINUTE, -60 * MINUTE, 60 * MINUTE, 0]) {
      clock.step(step);
      for (let grant = 0; grant < 3; grant++) {
        await service.withLock('to and fro', ({ fencingToken }) => tokens.push(fencingToken));
      }
    }
    expect(tokens).toHaveLength(21);
    for (let index = 1; index < tokens.length; index++) {
      expect(tokens[index]).toBeGreaterThan(tokens[index - 1]!);
    }
  });
});
