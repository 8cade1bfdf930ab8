import type { Redis } from 'ioredis';
import { LockBackendError, LockLostError } from 'nestjs-lock';
import { eventually } from '../support/eventually.js';
import { entered, lost, machineTime, violations, visit } from '../support/history.js';
import type { RedisServer } from '../support/redis-server.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';
import { subscriberLink } from '../support/tcp-proxy.js';

/** How often waiters look by themselves, and how long they live without a look, in milliseconds. */
const [HEARTBEAT, LIVENESS] = [1_450, 3_500];

/** What a busy machine may add, in milliseconds: less than half of what would be late. */
const SLACK = 700;

describe('connections', () => {
  const scene = new Scene();
  let server: RedisServer;
  let redis: Redis;
  let view: RedisView;

  beforeAll(async () => {
    server = await scene.redis();
    redis = scene.client(server.url);
    view = new RedisView(redis);
  });

  afterAll(() => scene.end());

  /** A service behind a network of its own, ready to ask. */
  async function remote() {
    const proxy = await scene.proxy(server.port);
    const service = scene.service(proxy.url);
    // Both connections stand, and the server's clock is known.
    await service.withLock(proxy.url, () => undefined);
    await eventually('subscribed', () => proxy.count(subscriberLink) === 1);
    return { proxy, service };
  }

  const passed = (what: string, moment: number) => eventually(what, () => machineTime() > moment);

  it.concurrent('a cut shorter than the ttl is not felt by the holder', async () => {
    const key = 'short cut';
    const ttl = 2_000;
    const { proxy, service } = await remote();
    const { lock, ...first } = await entered(service.acquire(key, { ttl }));
    const until = await view.expiry(key);

    await proxy.refuse();
    await passed('a renewal has failed', until - ttl / 2);
    await proxy.admit();
    await passed('the first lease', until);

    expect(await view.token(key)).toBe(first.token);
    expect(lock).toMatchObject({ held: true, signal: { aborted: false } });
    expect(await lock.release()).toBe('released');
    await view.untouched(key);
  });

  it.concurrent(
    'a longer cut is told to the holder before the server gives the lock away',
    async () => {
      const key = 'long cut';
      const ttl = 3_000;
      const { proxy, service } = await remote();
      const next = scene.service(server.url);
      const { lock, ...first } = await entered(service.acquire(key, { ttl }));
      const loss = lost(lock);
      const granted = entered(next.acquire(key));
      await view.queued(key, 1);

      await proxy.refuse();
      const expiry = await view.expiry(key);
      const { reason, at } = await loss;
      expect(reason).toBeInstanceOf(LockLostError);
      expect(reason).toMatchObject({ reason: 'backend', key });
      expect(lock.held).toBe(false);

      const second = await granted;
      expect(second.at).toBeGreaterThanOrEqual(expiry);
      await proxy.admit();
      // Nothing of the lost one's touches the new lease: its release went before this question.
      expect(await lock.release()).toBe('backend');
      await service.inspect(key);
      expect(await view.token(key)).toBe(second.token);
      expect(await second.lock.release()).toBe('released');
      expect(violations([visit(key, first, at), visit(key, second)])).toEqual([]);
    },
  );

  it.concurrent(
    'a connection that dies in silence is made anew in time for a long ttl',
    async () => {
      const key = 'silent death';
      const ttl = 7_500;
      const { proxy, service } = await remote();
      const { lock } = await entered(service.acquire(key, { ttl }));
      const until = await view.expiry(key);

      const dead = proxy.present();
      proxy.drop('requests', dead);
      await passed('the first lease', until);

      expect(lock).toMatchObject({ held: true, signal: { aborted: false } });
      expect(await lock.release()).toBe('released');
      await view.untouched(key);
    },
  );

  it.concurrent('a waiter that was cut off regains its place', async () => {
    const key = 'cut while waiting';
    const { proxy, service } = await remote();
    const [holder, third] = [scene.service(server.url), scene.service(server.url)];
    const first = await entered(holder.acquire(key));
    const cutOff = entered(service.acquire(key));
    await view.queued(key, 1);
    const last = entered(third.acquire(key));
    await view.queued(key, 2);

    await proxy.refuse();
    await passed('a heartbeat is missed', machineTime() + 1.5 * HEARTBEAT);
    await proxy.admit();
    await view.heard(key);
    expect(await view.waiters(key)).toBe(2);
    const left = machineTime();
    await first.lock.release();

    const second = await cutOff;
    const leave = machineTime();
    await second.lock.release();
    const rest = await last;
    await rest.lock.release();
    expect(
      violations([visit(key, first, left), visit(key, second, leave), visit(key, rest)]),
    ).toEqual([]);
  });

  it.concurrent(
    'a waiter that was cut off for longer than it lives comes back and is served',
    async () => {
      const key = 'long cut while waiting';
      const { proxy, service } = await remote();
      const [holder, other] = [scene.service(server.url), scene.service(server.url)];
      const first = await entered(holder.acquire(key));
      const cutOff = entered(service.acquire(key, { wait: 20_000 }));
      await view.queued(key, 1);
      const granted = entered(other.acquire(key));
      await view.queued(key, 2);

      await proxy.refuse();
      // Passed over while nobody hears for it.
      const left = machineTime();
      await first.lock.release();
      const second = await granted;
      await eventually('its place is lost', async () => (await view.waiters(key)) === 0);
      await proxy.admit();
      await view.queued(key, 1);
      const leave = machineTime();
      await second.lock.release();

      const third = await cutOff;
      await third.lock.release();
      expect(
        violations([visit(key, first, left), visit(key, second, leave), visit(key, third)]),
      ).toEqual([]);
    },
  );

  describe.each([
    ['the connection breaks', true],
    ['nothing is heard of it', false],
  ])('a reply is lost, and %s', (_, cut) => {
    /** Loses replies until `what` has happened at the server. */
    async function loseReplies(
      proxy: Awaited<ReturnType<typeof remote>>['proxy'],
      what: string,
      happened: () => Promise<boolean>,
    ) {
      await eventually(what, happened);
      if (cut) proxy.cut();
      proxy.restore();
    }

    it.concurrent('of a grant: the same grant comes with the same token', async () => {
      const key = `lost grant ${cut}`;
      const { proxy, service } = await remote();
      proxy.drop('replies');
      const granted = entered(service.acquire(key));
      await loseReplies(proxy, 'granted', async () => (await view.token(key)) !== undefined);
      const token = await view.token(key);

      const first = await granted;
      expect(first.token).toBe(token);
      expect(await first.lock.release()).toBe('released');
      await view.untouched(key);
    });

    it.concurrent('of queueing: the waiter has one place', async () => {
      const key = `lost place ${cut}`;
      const { proxy, service } = await remote();
      const [holder, other] = [scene.service(server.url), scene.service(server.url)];
      const first = await entered(holder.acquire(key));
      proxy.drop('replies');
      const waiting = entered(service.acquire(key));
      await view.queued(key, 1);
      const last = entered(other.acquire(key));
      await loseReplies(proxy, 'queued', async () => (await view.waiters(key)) === 2);
      await view.heard(key);

      const left = machineTime();
      await first.lock.release();
      const second = await waiting;
      const leave = machineTime();
      await second.lock.release();
      const third = await last;
      await third.lock.release();
      expect(
        violations([visit(key, first, left), visit(key, second, leave), visit(key, third)]),
      ).toEqual([]);
      await view.untouched(key);
    });

    it.concurrent('of a release: it counts, and the next holder keeps the lock', async () => {
      const key = `lost release ${cut}`;
      const { proxy, service } = await remote();
      const next = scene.service(server.url);
      const first = await entered(service.acquire(key));
      const granted = entered(next.acquire(key));
      await view.queued(key, 1);
      proxy.drop('replies');
      const left = machineTime();
      const outcome = first.lock.release();
      const second = await granted;
      await loseReplies(proxy, 'released', async () => (await view.waiters(key)) === 0);

      // Where nothing tells that it is lost, it may be asked for anew in time, or not.
      expect(cut ? ['released'] : ['released', 'unconfirmed']).toContain(await outcome);
      expect(first.lock.signal.aborted).toBe(false);
      expect(second.lock.held).toBe(true);
      await service.inspect(key);
      expect(await view.token(key)).toBe(second.token);
      expect(await second.lock.release()).toBe('released');
      expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
    });
  });

  it.concurrent(
    'the body is done and the reply of its release is lost: its result counts',
    async () => {
      const key = 'lost release of a body';
      const { proxy, service } = await remote();
      let ran = false;
      const result = service.withLock(key, () => {
        ran = true;
        proxy.drop('replies');
        return 'done';
      });
      await eventually('released', async () => ran && (await view.token(key)) === undefined);
      proxy.cut();
      proxy.restore();
      expect(await result).toBe('done');
    },
  );

  it.concurrent('the message of a grant is lost: the next heartbeat finds it', async () => {
    const key = 'lost message';
    const { proxy, service } = await remote();
    const holder = scene.service(server.url);
    const first = await entered(holder.acquire(key));
    const granted = entered(service.acquire(key));
    await view.queued(key, 1);

    // It stays connected, so the server takes the message for heard.
    proxy.drop('replies', subscriberLink);
    const left = machineTime();
    await first.lock.release();
    const token = await view.token(key);
    const second = await granted;
    expect(second.token).toBe(token);
    await second.lock.release();
    expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
  });

  it.concurrent(
    'all that tells of a grant is lost: the waiter asks again and is served',
    async () => {
      const key = 'lost hand-off';
      const { proxy, service } = await remote();
      const holder = scene.service(server.url);
      const first = await entered(holder.acquire(key));
      const granted = entered(service.acquire(key));
      await view.queued(key, 1);

      proxy.drop('replies');
      const left = machineTime();
      await first.lock.release();
      await eventually('its claim is over', async () => (await view.token(key)) === undefined);
      proxy.cut();
      proxy.restore();
      const second = await granted;
      expect(second.lock.held).toBe(true);
      expect(await second.lock.release()).toBe('released');
      expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
      await view.untouched(key);
    },
  );

  it.concurrent('a subscriber that hears nothing any more is made anew', async () => {
    const key = 'silent subscriber';
    const { proxy, service } = await remote();
    const first = await entered(scene.service(server.url).acquire(key));
    const granted = entered(service.acquire(key, { wait: 20_000 }));
    await view.queued(key, 1);

    const present = proxy.present();
    proxy.drop('replies', (link) => subscriberLink(link) && present(link));
    await eventually(
      'another one listens',
      () => proxy.count((link) => subscriberLink(link) && !present(link)) === 1,
    );
    await view.heard(key);
    await first.lock.release();
    const second = await granted;
    expect(second.token).toBeGreaterThan(first.token);
    await second.lock.release();
  });

  it.concurrent('the subscriber is cut off as a grant is published', async () => {
    const key = 'deaf';
    const { proxy, service } = await remote();
    const holder = scene.service(server.url);
    const first = await entered(holder.acquire(key));
    const granted = entered(service.acquire(key));
    await view.queued(key, 1);

    proxy.cut(subscriberLink);
    const left = machineTime();
    await first.lock.release();
    const second = await granted;
    await second.lock.release();
    expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
  });

  it.concurrent('the server kills all subscribers as a grant is published', async () => {
    const key = 'killed subscribers';
    const own = await scene.redis();
    const there = new RedisView(scene.client(own.url));
    const [holder, next] = [scene.service(own.url), scene.service(own.url)];
    const first = await entered(holder.acquire(key));
    const granted = entered(next.acquire(key));
    await there.queued(key, 1);

    await there.heard(key);
    await scene.client(own.url).call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    const left = machineTime();
    await first.lock.release();
    const second = await granted;
    await second.lock.release();
    expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
  });

  it.concurrent(
    'a reply that is later than the ttl is a failure, and nothing stays behind',
    async () => {
      const key = 'slow replies';
      const { proxy, service } = await remote();
      proxy.delay('replies', 700);
      await expect(service.acquire(key, { ttl: 300 })).rejects.toBeInstanceOf(LockBackendError);
      proxy.restore();
      await view.untouched(key);
      await service.withLock(key, (lock) => {
        expect(lock.held).toBe(true);
      });
    },
  );

  it.concurrent(
    'the message of a grant is later than its claim: the handle is a valid one',
    async () => {
      const key = 'slow message';
      const { proxy, service } = await remote();
      const holder = scene.service(server.url);
      const first = await entered(holder.acquire(key));
      const granted = entered(service.acquire(key));
      await view.queued(key, 1);

      proxy.hold('replies');
      const left = machineTime();
      await first.lock.release();
      await eventually('its claim is over', async () => (await view.token(key)) === undefined);
      proxy.restore();
      const second = await granted;
      expect(second.lock.held).toBe(true);
      expect(second.token).toBe(await view.token(key));
      await second.lock.release();
      expect(violations([visit(key, first, left), visit(key, second)])).toEqual([]);
    },
  );

  it.concurrent.each([
    ['any', 'slow request', true],
    ['the very first', 'slow first request', false],
  ])(
    '%s request that arrives long after its caller has gone does nothing',
    async (_, key, warm) => {
      const proxy = await scene.proxy(server.port);
      const service = scene.service(proxy.url);
      if (warm) await service.withLock(proxy.url, () => undefined);
      else await service.inspect(proxy.url);
      // What is sent on these links takes long; the links that replace them are quick.
      proxy.delay('requests', 2 * LIVENESS, proxy.present());
      const asked = machineTime();
      const refused = service.acquire(key, { wait: 500 });
      await expect(refused).rejects.toBeInstanceOf(LockBackendError);

      await passed('it has arrived', asked + 2 * LIVENESS + SLACK);
      expect(await view.token(key)).toBeUndefined();
      expect(await view.waiters(key)).toBe(0);
    },
  );
});
