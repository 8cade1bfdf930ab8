import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { LockConfigurationError } from 'nestjs-lock';
import { NodeRedisBackend, type NodeRedisBackendOptions } from 'nestjs-lock/node-redis';
import { RedisBackend } from 'nestjs-lock/redis';
import { BasicClientSideCache, createClient } from 'redis';
import { createClient as createClient5 } from '../nest-11/node_modules/redis/dist/index.js';
import { createClient as createClient4 } from 'redis-4';
import { Certificate } from '../support/certificate.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { RedisServer } from '../support/redis-server.js';
import { failure, openService, useEverything, warnings } from '../support/two-processes.js';

const host = '127.0.0.1';
let server: RedisServer;
let admin: Redis;

beforeAll(async () => {
  server = await RedisServer.start();
  admin = server.client();
});

afterEach(async () => {
  await admin.flushall();
});

afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

/** What the server knows of: its keys in this database, and the channels that somebody listens on. */
async function names(): Promise<string[]> {
  const channels = (await admin.call('PUBSUB', 'CHANNELS')) as string[];
  return [...(await admin.keys('*')), ...channels];
}

const byClient = (options: Parameters<typeof createClient>[0] = {}) =>
  new NodeRedisBackend({ client: createClient({ url: server.url, ...options }) });

describe('the ways to say where Redis is', () => {
  it.each<[string, () => NodeRedisBackend]>([
    ['a URL', () => new NodeRedisBackend({ url: server.url })],
    ['a client of redis 6', () => byClient()],
    [
      'a client of redis 5',
      () => new NodeRedisBackend({ client: createClient5({ url: server.url }) }),
    ],
    [
      'a client of redis 4',
      () => new NodeRedisBackend({ client: createClient4({ url: server.url }) }),
    ],
    ['a host and a port', () => byClient({ url: undefined, socket: { host, port: server.port } })],
  ])('%s', async (_, make) => {
    await useEverything(make(), make());
    expect(warnings).toEqual([]);
    const all = await names();
    expect(all).toContain('{nestjs-lock:0}:sequence');
    expect(all.every((name) => name.startsWith('{nestjs-lock:0}:'))).toBe(true);
  });

  it('another database', async () => {
    await useEverything(
      byClient({ database: 5 }),
      new NodeRedisBackend({ url: `${server.url}/5` }),
    );
    expect(await admin.dbsize()).toBe(0);
  });

  it('a database that does not exist is not replaced by another', async () => {
    const { message } = await failure(byClient({ database: 99 }));
    expect(message).toContain('DB index is out of range');
    expect(await admin.dbsize()).toBe(0);
  });

  it.each<[string, object]>([
    ['RESP 2', { RESP: 2 }],
    ['RESP 3', { RESP: 3 }],
    ['a cache at the client', { RESP: 3, clientSideCache: new BasicClientSideCache({}) }],
    ['Buffers for replies', { commandOptions: { typeMapping: { 36: Buffer, 58: String } } }],
    ['no offline queue', { disableOfflineQueue: true }],
    ['a short queue', { commandsQueueMaxLength: 1 }],
    ['a time limit for silence', { socket: { socketTimeout: 50 } }],
    ['a ping now and then', { pingInterval: 20 }],
    ['no reconnection', { socket: { reconnectStrategy: false } }],
    ['a name', { name: 'shop' }],
  ])('a client with %s', async (_, options) => {
    await useEverything(byClient(options));
    expect(warnings).toEqual([]);
  });
});

describe('beside ioredis', () => {
  it.each<[string, string]>([
    ['the locks are the same', ''],
    ['the key prefix is before every name, once', 'app:'],
  ])('%s', async (_, keyPrefix) => {
    const options = { port: server.port, keyPrefix };
    await useEverything(byClient({ keyPrefix }), new RedisBackend({ options }));
    await useEverything(new RedisBackend({ options }), byClient({ keyPrefix }));
    expect(warnings).toEqual([]);
    const all = await names();
    expect(all.length).toBeGreaterThanOrEqual(3);
    expect(all.filter((name) => !name.startsWith(`${keyPrefix}{nestjs-lock:0}:`))).toEqual([]);
  });

  it('nobody is inside with another one', async () => {
    const backends = [0, 1, 2, 3].map((n) =>
      n % 2 ? byClient() : new RedisBackend({ url: server.url }),
    );
    const services = backends.map((backend) => openService(backend));
    let [count, inside] = [0, 0];
    const tokens: number[] = [];
    const visits = services.flatMap((service) =>
      Array.from({ length: 25 }, () =>
        service.withLock('shared', { wait: 20_000 }, async ({ fencingToken }) => {
          expect(++inside).toBe(1);
          const before = count;
          await admin.ping();
          count = before + 1;
          tokens.push(fencingToken);
          inside--;
        }),
      ),
    );
    await Promise.all(visits);
    expect(count).toBe(100);
    expect(tokens).toEqual([...tokens].sort((one, other) => one - other));
    expect(new Set(tokens).size).toBe(100);
  });
});

describe("a client of the application's", () => {
  it.each([
    ['6', createClient],
    ['5', createClient5 as unknown as typeof createClient],
  ])('of redis %s is not used, not changed and never closed', async (_, create) => {
    const client = create({ url: server.url, database: 2, name: 'theirs' });
    const socket = client.options.socket;
    const options = { ...client.options, socket: { ...socket } };
    await client.connect();
    await client.set('color', 'red');
    const connections = async () =>
      ((await admin.client('LIST')) as string).trim().split('\n').length;
    const before = await connections();

    const service = openService(new NodeRedisBackend({ client }));
    const lock = await service.acquire('k');
    await eventually('two more connections', async () => (await connections()) === before + 2);
    await lock.release();
    await service.close();

    await eventually('ours are closed', async () => (await connections()) === before);
    expect([client.isReady, client.options, client.options.socket]).toEqual([
      true,
      options,
      options.socket,
    ]);
    expect(client.options.socket).toBe(socket);
    expect(await client.get('color')).toBe('red');
    client.destroy();
  });

  it('may be closed, or never have been opened', async () => {
    const closed = createClient({ url: server.url });
    await closed.connect();
    const backend = new NodeRedisBackend({ client: closed });
    await closed.close();
    const lazy = createClient({ url: server.url });
    await useEverything(backend, new NodeRedisBackend({ client: lazy }));
    expect([closed.isOpen, lazy.isOpen]).toEqual([false, false]);
  });
});

describe('credentials', () => {
  let locked: RedisServer;

  beforeAll(async () => {
    locked = await RedisServer.start(['--requirepass', 's3cret']);
  });

  afterAll(() => locked.stop());

  it.each<[string, () => NodeRedisBackend]>([
    ['of a URL', () => new NodeRedisBackend({ url: `redis://:s3cret@${host}:${locked.port}` })],
    ['of a client', () => byClient({ url: locked.url, password: 's3cret' })],
    [
      'of a client of redis 5',
      () =>
        new NodeRedisBackend({ client: createClient5({ url: locked.url, password: 's3cret' }) }),
    ],
  ])('%s', async (_, make) => {
    await useEverything(make());
    expect(warnings).toEqual([]);
  });

  it('that are wrong are what the error says', async () => {
    const error = await failure(
      new NodeRedisBackend({ url: `redis://:wr0ng@${host}:${locked.port}` }),
    );
    expect(error.message).toMatch(/WRONGPASS.*check username and password/);
    expect(error.message).not.toContain('wr0ng');
  });

  it('need no more rights than the minimal ACL', async () => {
    const page = readFileSync(new URL('../../docs/backends/redis.md', import.meta.url), 'utf8');
    const [, rights = ''] = /^ACL SETUSER locks (on >password .*:0.*)$/m.exec(page) ?? [];
    await admin.call('ACL', 'SETUSER', 'locks', ...rights.split(' '));
    await useEverything(byClient({ username: 'locks', password: 'password' }));
    await admin.call('ACL', 'DELUSER', 'locks');
    expect(warnings).toEqual([]);
  });

  it('that are missing are what the error says', async () => {
    const error = await failure(new NodeRedisBackend({ url: locked.url }), 60_000);
    expect(error.message).toMatch(/NOAUTH.*check username and password/);
  });

  it('are asked for anew with each connection', async () => {
    const root = createClient({ url: locked.url, password: 's3cret' });
    await root.connect();
    await root.aclSetUser('app', ['on', '>first', '~*', '&*', '+@all']);
    let password = 'first';
    const credentials = async () => ({ username: 'app', password });
    const credentialsProvider = { type: 'async-credentials-provider', credentials } as const;
    const service = openService(byClient({ url: locked.url, credentialsProvider }));
    const lock = await service.acquire('k');

    await root.aclSetUser('app', ['>second', '<first']);
    password = 'second';
    await root.sendCommand(['CLIENT', 'KILL', 'USER', 'app']);
    await service.withLock('other', () => undefined);
    expect(await lock.release()).toBe('released');
    await root.sendCommand(['ACL', 'DELUSER', 'app']);
    root.destroy();
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

  it('by a client', async () => {
    await useEverything(
      byClient({ url: `rediss://${host}:${port}`, socket: { tls: true, ca: certificate.text } }),
    );
    expect(warnings).toEqual([]);
  });

  it('with a certificate that nobody vouches for is refused, and that is what the error says', async () => {
    const error = await failure(new NodeRedisBackend({ url: `rediss://localhost:${port}` }));
    expect(error.cause).toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    expect(error.message).toMatch(/self-signed certificate/);
  });
});

describe('what does not fit', () => {
  const client = createClient();
  it.each<[string, unknown, RegExp]>([
    ['nothing', {}, /exactly one of url and client, got \[\]/],
    ['both', { url: 'redis://localhost', client }, /exactly one of url and client/],
    ['no client', { client: {} }, /client must be a client of createClient.*got {}/],
    ['no object', { client: 'redis://localhost' }, /client must be a client of createClient/],
    ['null', { client: null }, /client must be a client of createClient.*got null/],
    ['a pool', { client: client.createPool() }, /client must be a client of createClient/],
    [
      'another protocol',
      { url: 'http://localhost' },
      /url must be a redis:\/\/ or rediss:\/\/ URL/,
    ],
    ['parameters', { url: 'redis://localhost?db=1' }, /url must not have parameters/],
    ['another option', { client, host }, /unknown option 'host' of NodeRedisBackend/],
    ['a bad commandTimeout', { client, commandTimeout: 'soon' }, /commandTimeout/],
  ])('is refused: %s', (_, options, message) => {
    const make = () => new NodeRedisBackend(options as NodeRedisBackendOptions);
    expect(make).toThrow(LockConfigurationError);
    expect(make).toThrow(message);
  });

  it('never shows a password', () => {
    const secret = { url: 'htp://me:s3cret@localhost' };
    expect(() => new NodeRedisBackend(secret)).toThrow(/got .\*\*\*@localhost/);
  });

  it('a client of the other kind is told where it belongs', () => {
    const [ioredis, nodeRedis] = [server.client(), createClient()];
    expect(() => new NodeRedisBackend({ client: ioredis as never })).toThrow(
      /one of ioredis: it is for RedisBackend of nestjs-lock\/redis/,
    );
    expect(() => new RedisBackend({ client: nodeRedis as never })).toThrow(
      /a client of the package redis \(node-redis\): give it to the backend of nestjs-lock\/node-redis/,
    );
    ioredis.disconnect();
  });
});
