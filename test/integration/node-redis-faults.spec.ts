import type { Redis } from 'ioredis';
import { LockBackendError } from 'nestjs-lock';
import { NodeRedisBackend } from 'nestjs-lock/node-redis';
import { createClient } from 'redis';
import { createClient as createClient5 } from '../nest-11/node_modules/redis/dist/index.js';
import { eventually } from '../support/eventually.js';
import { RedisServer } from '../support/redis-server.js';
import { RedisView } from '../support/redis-view.js';
import { TcpProxy, subscriberLink } from '../support/tcp-proxy.js';
import { openService, warnings } from '../support/two-processes.js';

const majors = [
  ['6', createClient],
  ['5', createClient5 as unknown as typeof createClient],
] as const;

describe.each(majors)('a connection of redis %s', (_, create) => {
  let server: RedisServer;
  let admin: Redis;
  let view: RedisView;
  let proxy: TcpProxy;

  beforeEach(async () => {
    server = await RedisServer.start();
    admin = server.client();
    admin.on('error', () => undefined);
    view = new RedisView(admin);
    proxy = await TcpProxy.start(server.port);
  });

  afterEach(async () => {
    admin.disconnect();
    await proxy.stop();
    await server.stop();
  });

  /** A service of a process that has both its connections. */
  async function open() {
    const client = create({ url: proxy.url });
    const before = proxy.count(subscriberLink);
    const service = openService(new NodeRedisBackend({ client, commandTimeout: 500 }));
    await service.withLock('warm up', () => undefined);
    await eventually('subscribed', () => proxy.count(subscriberLink) > before);
    return service;
  }

  /** How often the server has run a command. */
  async function calls(command: string): Promise<number> {
    const statistics = await admin.info('commandstats');
    return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(statistics)?.[1] ?? 0);
  }

  it('is made anew when it is killed, and the waiter is told of its grant', async () => {
    const [waiter, holder] = [await open(), await open()];
    const lock = await holder.acquire('killed');
    const next = waiter.acquire('killed', { wait: 20_000 });
    await view.queued('killed', 1);
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await view.heard('killed');
    expect(await lock.release()).toBe('released');
    expect((await next).fencingToken).toBeGreaterThan(lock.fencingToken);
    expect(warnings).toEqual([]);
  });

  it('finds a server that was started again, without its memory', async () => {
    const service = await open();
    await server.kill();
    await expect(service.acquire('gone', { wait: 300 })).rejects.toThrow(LockBackendError);
    await server.launch();
    await service.withLock('back', { wait: 20_000 }, () => undefined);
    expect((await service.inspect('gone')).holders).toEqual([]);
  });

  it('is given up when the server hangs, and nothing stays behind when it goes on', async () => {
    const service = await open();
    server.freeze();
    await expect(service.acquire('frozen', { wait: 700 })).rejects.toThrow(LockBackendError);
    await expect(service.tryAcquire('frozen')).rejects.toThrow(LockBackendError);
    const { links } = proxy;
    await eventually('another connection', () => proxy.links > links);
    server.thaw();
    await service.withLock('frozen', { wait: 20_000 }, () => undefined);
    await view.untouched('frozen');
  });

  it('sends nothing later that was asked for while it was not there', async () => {
    const service = await open();
    await proxy.refuse();
    const monitor = await admin.monitor();
    const seen: string[] = [];
    monitor.on('monitor', (_time: string, command: string[]) => seen.push(command.join(' ')));
    const asked = [1, 2].map(() => service.acquire('in-vain', { wait: 200 }));
    for (const one of asked) await expect(one).rejects.toThrow(LockBackendError);
    await proxy.admit();
    await service.inspect('another');
    monitor.disconnect();
    expect(seen.filter((command) => command.includes(':another'))).not.toEqual([]);
    expect(seen.filter((command) => command.includes(':in-vain'))).toEqual([]);
  });

  it('that only listens is made anew when it is silent', async () => {
    const service = await open();
    const lock = await service.acquire('deaf', { ttl: 3_000 });
    const { links } = proxy;
    proxy.drop('replies', (link) => link.subscribed);
    await eventually('another one', () => proxy.links > links);
    expect(lock.held).toBe(true);
    await lock.release();
  });

  it('that only listens stays when it answers, though a message was lost', async () => {
    const service = await open();
    const lock = await service.acquire('lost', { ttl: 3_000 });
    const { links } = proxy;
    proxy.drop('replies', subscriberLink);
    const sent = await calls('publish');
    await eventually('a message', async () => (await calls('publish')) > sent);
    proxy.restore();
    await eventually('a question', async () => (await calls('ping')) > 0);
    const later = await calls('publish');
    await eventually('another message', async () => (await calls('publish')) > later);
    expect(proxy.links).toBe(links);
    await lock.release();
  });
});
