import type { Redis } from 'ioredis';
import type { LockService } from 'nestjs-lock';
import { eventually } from '../support/eventually.js';
import { entered, violations, visit } from '../support/history.js';
import { reader } from '../support/redis-nodes.js';
import type { RedisServer } from '../support/redis-server.js';
import { RedisView } from '../support/redis-view.js';
import { Scene } from '../support/scene.js';
import { subscriberLink, type TcpProxy } from '../support/tcp-proxy.js';

/** For what needs some heartbeats and new connections, in milliseconds. */
const SOON = 15_000;

describe('one address before a master and its replica', () => {
  const scene = new Scene();
  let nodes: { server: RedisServer; admin: Redis }[];

  beforeEach(async () => {
    const prompt = ['--repl-diskless-sync-delay', '0'];
    const master = await scene.redis(prompt);
    const replica = await scene.redis([...prompt, '--replicaof', `127.0.0.1 ${master.port}`]);
    nodes = [master, replica].map((server) => ({ server, admin: scene.client(server.url) }));
    await inSync(nodes[1]!.admin);
  });

  afterAll(() => scene.end());

  async function inSync(replica: Redis): Promise<void> {
    await eventually('a replica in sync', async () => {
      return reader(await replica.info('replication'))('master_link_status') === 'up';
    });
  }

  /** The replica takes over; new connections go there, and nobody cuts the old ones. */
  async function failOver(proxy: TcpProxy): Promise<void> {
    const [old, next] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
    // So that the replica knows all that was done before.
    await old.admin.set('last write', '');
    await old.admin.wait(1, 0);
    await next.admin.call('REPLICAOF', 'NO', 'ONE');
    await old.admin.call('REPLICAOF', '127.0.0.1', String(next.server.port));
    proxy.lead(next.server.port);
    await inSync(old.admin);
  }

  /** A process that listens and asks through this address. */
  async function through(proxy: TcpProxy): Promise<LockService> {
    const service = scene.service(proxy.url);
    await service.withLock('warm', () => undefined);
    await eventually('subscribed', () => proxy.count(subscriberLink) === 1);
    return service;
  }

  const direct = async (server: RedisServer) => {
    const service = scene.service(server.url);
    await service.withLock('warm', () => undefined);
    return service;
  };

  it('after a failover nobody believes in a grant that only the replica told of', async () => {
    const proxy = await scene.proxy(nodes[0]!.server.port);
    const there = await through(proxy);
    await failOver(proxy);
    await there.withLock('warm', () => undefined);
    const { server, admin } = nodes[1]!;
    const view = new RedisView(admin);
    const [first, other] = [await direct(server), await direct(server)];
    const history = [];
    for (let n = 0; n < 3; n++) {
      const key = `key:${n}`;
      const lock = await first.acquire(key);
      const take = async (service: LockService) => {
        const entry = await entered(service.acquire(key, { wait: SOON }));
        expect(await view.token(key)).toBe(entry.token);
        const own = visit(key, entry);
        await entry.lock.release();
        return { ...own, valid: true };
      };
      const one = take(there);
      await view.queued(key, 1);
      const two = take(other);
      await view.queued(key, 2);
      await lock.release();
      history.push(await one, await two);
    }
    expect(violations(history)).toEqual([]);
  });

  it('a process moves to where it is heard, and is told of its grants there', async () => {
    const proxy = await scene.proxy(nodes[0]!.server.port);
    const waits = await through(proxy);
    await failOver(proxy);
    const { server, admin } = nodes[1]!;
    const view = new RedisView(admin);
    const holds = await direct(server);
    const lock = await holds.acquire('moves');
    const granted = waits.acquire('moves', { wait: SOON });
    await view.queued('moves', 1);
    await view.heard('moves');
    await lock.release();
    expect(await (await granted).release()).toBe('released');
  });

  it('a process that only holds moves as well, and hears that its lock is revoked', async () => {
    const proxy = await scene.proxy(nodes[0]!.server.port);
    const holds = await through(proxy);
    const lock = await holds.acquire('held', { ttl: 10_000 });
    const [channel = ''] = (await nodes[0]!.admin.pubsub('CHANNELS')) as string[];
    await failOver(proxy);
    const { server, admin } = nodes[1]!;
    await eventually(
      'a holder that is counted at the new master',
      async () => (await admin.pubsub('NUMSUB', channel))[1] === 1,
    );
    expect(await (await direct(server)).revoke('held', { grace: '30s' })).toBe(1);
    await eventually('a holder that heard', () => lock.revocation.aborted);
    await lock.release();
  });

  it('a subscriber that fell on the replica tries until it is at the master', async () => {
    const [master, replica] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
    const proxy = await scene.proxy(master.server.port);
    const waits = await through(proxy);
    proxy.lead(replica.server.port);
    proxy.cut(subscriberLink);
    await eventually('it listens at the replica', async () => {
      return ((await replica.admin.pubsub('CHANNELS')) as string[]).length > 0;
    });
    const view = new RedisView(master.admin);
    const holds = await direct(master.server);
    const lock = await holds.acquire('fallen');
    const granted = waits.acquire('fallen', { wait: SOON });
    await view.queued('fallen', 1);
    await eventually('it has tried again', () => proxy.links > 3);
    proxy.lead(master.server.port);
    await view.heard('fallen');
    await lock.release();
    expect(await (await granted).release()).toBe('released');
  });

  it('one that nobody hears has its turn all the same, by its heartbeat', async () => {
    const { server, admin } = nodes[0]!;
    await admin.call('ACL', 'SETUSER', 'deaf', 'on', '>x', '~*', '+@all', 'resetchannels');
    const deaf = scene.service(`redis://deaf:x@127.0.0.1:${server.port}`);
    const others = await Promise.all([direct(server), direct(server)]);
    let over = false;
    const entries = others.map(async (service) => {
      while (!over) await service.withLock('contended', { wait: SOON }, () => undefined);
    });
    try {
      const lock = await deaf.acquire('contended', { wait: SOON });
      expect(await lock.release()).toBe('released');
    } finally {
      over = true;
      await Promise.all(entries);
    }
  });
});
