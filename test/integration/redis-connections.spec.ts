import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisBackend } from 'nestjs-lock/redis';
import { Redis as Redis5 } from '../nest-11/node_modules/ioredis/built/index.js';
import { Certificate } from '../support/certificate.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { RedisServer } from '../support/redis-server.js';
import { failure, openService, useEverything, warnings } from '../support/two-processes.js';

const host = '127.0.0.1';
let server: RedisServer;
let admin: Redis;
const clients: { disconnect(): void }[] = [];

/** Ours to close, at the end of the test. */
function own<T extends { disconnect(): void }>(client: T): T {
  clients.push(client);
  return client;
}

/** What the server knows of: its keys in this database, and the channels that somebody listens on. */
async function names(db = 0): Promise<string[]> {
  const client = own(new Redis(server.port, { db }));
  const channels = (await client.call('PUBSUB', 'CHANNELS')) as string[];
  return [...(await client.keys('*')), ...channels];
}

beforeAll(async () => {
  server = await RedisServer.start();
  admin = server.client();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.disconnect();
  await admin.flushall();
});

afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

describe('the ways to say where Redis is', () => {
  it.each<[string, () => RedisBackend]>([
    ['a URL', () => new RedisBackend({ url: server.url })],
    ['options', () => new RedisBackend({ options: { host, port: server.port } })],
    ['a client of ioredis 6', () => new RedisBackend({ client: own(new Redis(server.port)) })],
    ['a client of ioredis 5', () => new RedisBackend({ client: own(new Redis5(server.port)) })],
  ])('%s', async (_, make) => {
    await useEverything(make(), make());
    expect(warnings).toEqual([]);
    const all = await names();
    expect(all).toContain('{nestjs-lock:0}:sequence');
    expect(all.every((name) => name.startsWith('{nestjs-lock:0}:'))).toBe(true);
  });

  it('ioredis 5 and 6 side by side', async () => {
    const [five, six] = [own(new Redis5(server.port)), own(new Redis(server.port))];
    await useEverything(new RedisBackend({ client: five }), new RedisBackend({ client: six }));
    expect(warnings).toEqual([]);
  });

  it.each<[string, () => RedisBackend]>([
    ['of a URL', () => new RedisBackend({ url: `${server.url}/5` })],
    ['of options', () => new RedisBackend({ options: { host, port: server.port, db: 5 } })],
    ['of a client', () => new RedisBackend({ client: own(new Redis(server.port, { db: 5 })) })],
  ])('another database, %s', async (_, make) => {
    await useEverything(make());
    expect(await admin.dbsize()).toBe(0);
    expect(await names(5)).toContain('{nestjs-lock:0}:sequence');
  });

  it.each<[string, () => RedisBackend]>([
    ['ioredis 6', () => new RedisBackend({ url: `${server.url}/99` })],
    ['ioredis 5', () => new RedisBackend({ client: own(new Redis5(server.port, { db: 99 })) })],
  ])('a database that does not exist is not replaced by another, by %s', async (_, make) => {
    const { message } = await failure(make());
    expect(message).toContain('DB index is out of range');
    expect(await admin.dbsize()).toBe(0);
  });

  it.each<[string, () => RedisBackend]>([
    [
      'of options',
      () => new RedisBackend({ options: { host, port: server.port, keyPrefix: 'app:' } }),
    ],
    [
      'of a client',
      () => new RedisBackend({ client: own(new Redis(server.port, { keyPrefix: 'app:' })) }),
    ],
    [
      'of a client of ioredis 5',
      () => new RedisBackend({ client: own(new Redis5(server.port, { keyPrefix: 'app:' })) }),
    ],
  ])('the key prefix %s is before every name, once', async (_, make) => {
    await useEverything(make());
    const all = await names();
    expect(all.length).toBeGreaterThanOrEqual(3);
    for (const name of all) expect(name).toMatch(/^app:\{nestjs-lock:0\}:/);
  });

  // Options that change what a client does with commands and replies must not change the locks.
  it.each<[string, object]>([
    ['stringNumbers', { stringNumbers: true }],
    ['replyMapping', { replyMapping: 'resp3' }],
    ['protocol 2', { protocol: 2 }],
    ['autopipelining', { enableAutoPipelining: true }],
    ['no ready check', { enableReadyCheck: false }],
    ['no retries', { retryStrategy: null }],
    ['a name', { connectionName: 'shop' }],
    ['a time limit for commands', { commandTimeout: 1_000 }],
  ])('a client with %s', async (_, options) => {
    const client = own(new Redis(server.port, options));
    await useEverything(new RedisBackend({ client }));
    expect(warnings).toEqual([]);
  });
});

describe("a client of the application's", () => {
  it.each<[string, () => Redis | Redis5]>([
    ['6', () => new Redis(server.port, { keyPrefix: 'app:', db: 2 })],
    ['5', () => new Redis5(server.port, { keyPrefix: 'app:', db: 2 })],
  ])('of ioredis %s is not used and never closed', async (_, make) => {
    const client = own(make());
    await client.set('color', 'red');
    const connections = async () =>
      ((await admin.client('LIST')) as string).trim().split('\n').length;
    const before = await connections();

    const service = openService(new RedisBackend({ client }));
    const lock = await service.acquire('k');
    await eventually('two more connections', async () => (await connections()) === before + 2);
    await lock.release();
    await service.close();

    await eventually('ours are closed', async () => (await connections()) === before);
    expect(client.status).toBe('ready');
    expect(await client.get('color')).toBe('red');
    expect(client.options.keyPrefix).toBe('app:');
  });

  it('may be closed by the application, or never have been opened', async () => {
    const closed = own(new Redis(server.port));
    const backend = new RedisBackend({ client: closed });
    await closed.quit();
    const lazy = own(new Redis(server.port, { lazyConnect: true }));
    await useEverything(backend, new RedisBackend({ client: lazy }));
    expect([closed.status, lazy.status]).toEqual(['end', 'wait']);
  });

  it('may listen to channels of its own', async () => {
    const client = own(new Redis(server.port));
    await client.subscribe('news');
    const news = once(client, 'message');
    await useEverything(new RedisBackend({ client }));
    await admin.publish('news', 'hello');
    expect(await news).toEqual(['news', 'hello']);
  });
});

describe('namespaces', () => {
  it('keep the locks of two applications apart', async () => {
    const [shop, bank] = ['shop', 'bank'].map((namespace) =>
      openService(new RedisBackend({ url: server.url, namespace })),
    );
    const lock = await shop!.acquire('k');
    const other = await bank!.acquire('k', { wait: 0 });
    expect((await bank!.inspect('k')).holders).toHaveLength(1);
    await other.release();
    expect(lock.held).toBe(true);
    expect((await shop!.inspect('k')).holders).toHaveLength(1);
    expect((await bank!.inspect('k')).holders).toHaveLength(0);
    expect((await names()).every((name) => /^\{(shop|bank):0\}:/.test(name))).toBe(true);
  });
});

describe('a password', () => {
  let locked: RedisServer;

  beforeAll(async () => {
    locked = await RedisServer.start(['--requirepass', 's3cret']);
  });

  afterAll(() => locked.stop());

  it.each<[string, () => RedisBackend]>([
    ['of a URL', () => new RedisBackend({ url: `redis://:s3cret@${host}:${locked.port}` })],
    [
      'of options',
      () => new RedisBackend({ options: { host, port: locked.port, password: 's3cret' } }),
    ],
    [
      'of a client',
      () =>
        new RedisBackend({ client: own(new Redis5({ port: locked.port, password: 's3cret' })) }),
    ],
  ])('%s', async (_, make) => {
    await useEverything(make());
    expect(warnings).toEqual([]);
  });

  it.each<[string, () => RedisBackend]>([
    ['ioredis 6', () => new RedisBackend({ url: `redis://:wrong@${host}:${locked.port}` })],
    [
      'ioredis 5',
      () => {
        const client = new Redis5({ port: locked.port, password: 'wrong', lazyConnect: true });
        return new RedisBackend({ client: own(client) });
      },
    ],
  ])('that is wrong is what the error says, with %s', async (_, make) => {
    const error = await failure(make());
    expect(error.message).toMatch(/WRONGPASS/);
    expect(error.message).not.toContain('wrong@');
  });

  it('that is missing is what the error says', async () => {
    const error = await failure(new RedisBackend({ url: locked.url }));
    expect(error.message).toMatch(/NOAUTH/);
  });
});

describe('TLS', () => {
  let certificate: Certificate;
  let secure: RedisServer;
  let port: number;

  beforeAll(async () => {
    certificate = Certificate.make();
    port = await freePort();
    secure = await RedisServer.start(certificate.settings(port));
  });

  afterAll(async () => {
    await secure.stop();
    certificate.remove();
  });

  it.each<[string, () => RedisBackend]>([
    [
      'by options',
      () => new RedisBackend({ options: { host, port, tls: { ca: certificate.text } } }),
    ],
    [
      'by a client',
      () => {
        const client = new Redis(`rediss://${host}:${port}`, { tls: { ca: certificate.text } });
        return new RedisBackend({ client: own(client) });
      },
    ],
    [
      'by a client of ioredis 5',
      () => {
        const client = new Redis5(`rediss://${host}:${port}`, { tls: { ca: certificate.text } });
        return new RedisBackend({ client: own(client) });
      },
    ],
  ])('%s', async (_, make) => {
    await useEverything(make());
    expect(warnings).toEqual([]);
  });

  it('by a rediss:// URL, which does not trust a certificate that nobody vouches for', async () => {
    const error = await failure(new RedisBackend({ url: `rediss://localhost:${port}` }));
    expect(error.cause).toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    expect(error.message).toMatch(/self-signed certificate/);
  });
});

describe('SCRIPT FLUSH', () => {
  // It has ioredis connect anew at each error, and at 2 send the command again.
  it.each<[string, () => RedisBackend]>([
    [
      'of options',
      () => new RedisBackend({ options: { port: server.port, reconnectOnError: () => true } }),
    ],
    [
      'of options, with the command sent again',
      () => new RedisBackend({ options: { port: server.port, reconnectOnError: () => 2 } }),
    ],
    [
      'of a client',
      () => {
        const client = new Redis(server.port, { reconnectOnError: () => true });
        return new RedisBackend({ client: own(client) });
      },
    ],
    [
      'of a client of ioredis 5',
      () => {
        const client = new Redis5(server.port, { reconnectOnError: () => true });
        return new RedisBackend({ client: own(client) });
      },
    ],
  ])('is no reason to connect anew: reconnectOnError %s is not taken over', async (_, make) => {
    const service = openService(make());
    await admin.script('FLUSH');
    await (await service.acquire('k', { wait: 1_000 })).release();
    await admin.script('FLUSH');
    const lock = await service.acquire('k', { wait: 1_000 });
    await lock.renew();
    expect(await lock.release()).toBe('released');
    expect(warnings).toEqual([]);
  });

  it('between any two steps goes unnoticed', async () => {
    const [first, second] = [1, 2].map(() => openService(new RedisBackend({ url: server.url })));
    const flushed = async <T>(step: () => Promise<T>) => {
      await admin.script('FLUSH');
      return step();
    };
    const lock = await flushed(() => first!.acquire('k', { ttl: 900 }));
    await flushed(() => lock.renew());
    await flushed(() => first!.inspect('k'));
    await flushed(() => second!.tryAcquire('k'));
    await expect(flushed(() => second!.acquire('k', { wait: 50 }))).rejects.toThrow('held by');
    const next = flushed(() => second!.acquire('k'));
    // Renewals and heartbeats that nobody called for find no script either.
    for (let flush = 0; flush < 13; flush++) {
      await admin.script('FLUSH');
      await sleep(100);
    }
    expect(lock.held).toBe(true);
    expect(await flushed(() => lock.release())).toBe('released');
    expect(await flushed(async () => (await next).release())).toBe('released');
    expect(warnings).toEqual([]);
  });
});

describe('at the start', () => {
  it.each(['allkeys-lru', 'volatile-ttl'])(
    'a maxmemory-policy of %s is warned of',
    async (policy) => {
      await admin.config('SET', 'maxmemory-policy', policy);
      try {
        openService(new RedisBackend({ url: server.url }));
        await eventually('a warning', () => warnings.length > 0);
        expect(warnings).toEqual([expect.stringContaining(policy)]);
        expect(warnings[0]).toContain('CONFIG SET maxmemory-policy noeviction');
      } finally {
        await admin.config('SET', 'maxmemory-policy', 'noeviction');
      }
    },
  );

  it('a server that is too old is warned of', async () => {
    // A server as new as any, that says otherwise.
    const proxy = createServer((downstream) => {
      const upstream = connect(server.port, host);
      downstream.pipe(upstream);
      upstream.on('data', (data) => {
        downstream.write(data.toString('latin1').replace(/(redis_version:)\d/, '$15'), 'latin1');
      });
      downstream.on('close', () => upstream.destroy());
      downstream.on('error', () => upstream.destroy());
    }).listen(0, host);
    await once(proxy, 'listening');
    const { port } = proxy.address() as AddressInfo;
    const service = openService(new RedisBackend({ url: `redis://${host}:${port}` }));
    await eventually('a warning', () => warnings.length > 0);
    expect(warnings).toEqual([expect.stringMatching(/^Redis 5\.\S+ is older than 6\.2/)]);
    await service.close();
    proxy.close();
    await once(proxy, 'close');
  });
});
