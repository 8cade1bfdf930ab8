import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import { LockConfigurationError, type LockService } from 'nestjs-lock';
import { RedisBackend, RedlockBackend, type RedisCredentials } from 'nestjs-lock/redis';
import {
  Cluster as Cluster5,
  Redis as Redis5,
} from '../nest-11/node_modules/ioredis/built/index.js';
import { eventually } from '../support/eventually.js';
import { startOneMaster } from '../support/one-master.js';
import { RedisServer } from '../support/redis-server.js';
import { failure, openService } from '../support/two-processes.js';

const host = '127.0.0.1';
const username = 'locks';

/** Servers on which our user is, and what the user's password is now. */
let alone: RedisServer;
let cluster: RedisServer;
let admins: Redis[];
let passwords = 0;
let password = '';

beforeAll(async () => {
  [alone, cluster] = await Promise.all([RedisServer.start(), startOneMaster()]);
  admins = [alone, cluster].map((server) => server.client());
});

afterAll(async () => {
  for (const admin of admins) admin.disconnect();
  await Promise.all([alone.stop(), cluster.stop()]);
});

/** The user has another password from now on, and nobody else's is known any more. */
async function setPassword(): Promise<void> {
  password = `secret-${++passwords}`;
  for (const admin of admins) {
    await admin.call('ACL', 'SETUSER', username, 'on', 'reset', 'on', `>${password}`, '+@all');
    await admin.call('ACL', 'SETUSER', username, '~*', '&*');
  }
}

/** Cuts off whoever was logged in with the password of before. */
async function cutOff(): Promise<void> {
  for (const admin of admins) await admin.call('CLIENT', 'KILL', 'USER', username);
}

async function connections(): Promise<number> {
  const lists = await Promise.all(admins.map((admin) => admin.client('LIST')));
  return lists.join('').match(/user=locks/g)?.length ?? 0;
}

beforeEach(setPassword);

async function expectServes(service: LockService): Promise<void> {
  const lock = await service.acquire('k', { wait: 5_000 });
  // The channel of its messages stands as well.
  await eventually('both are connected', async () => (await connections()) >= 2);
  expect(await lock.release()).toBe('released');
}

const quiet = { lazyConnect: true, retryStrategy: null } as const;

const clients: Record<string, () => Redis | Cluster> = {
  'a Redis': () => new Redis({ host, port: alone.port, username, password, ...quiet }),
  'a Redis of ioredis 5': () =>
    new Redis5({ host, port: alone.port, username, password, ...quiet }) as unknown as Redis,
  'a Cluster': () =>
    new Cluster([{ host, port: cluster.port }], {
      lazyConnect: true,
      redisOptions: { username, password },
    }),
  'a Cluster of ioredis 5': () =>
    new Cluster5([{ host, port: cluster.port }], {
      lazyConnect: true,
      redisOptions: { username, password },
    }) as unknown as Cluster,
};

it.each(Object.entries(clients))(
  'connections are made anew with what the options of %s say then',
  async (_, make) => {
    const client = make();
    const service = openService(new RedisBackend({ client }));
    await expectServes(service);
    await setPassword();
    const { options } = client as { options: RedisOptions & ClusterOptions };
    Object.assign(client.isCluster ? options.redisOptions! : options, { password });
    await cutOff();
    await expectServes(service);
  },
);

it('options are followed as well', async () => {
  const options = { host, port: alone.port, username, password };
  const service = openService(new RedisBackend({ options }));
  await expectServes(service);
  await setPassword();
  options.password = password;
  await cutOff();
  await expectServes(service);
});

const backends: Record<string, (credentials: () => RedisCredentials) => RedisBackend> = {
  'a URL': (credentials) => new RedisBackend({ url: alone.url, commandTimeout: 300, credentials }),
  options: (credentials) =>
    new RedisBackend({ options: { host, port: alone.port, password: 'wrong' }, credentials }),
  'a client': (credentials) =>
    new RedisBackend({ client: new Redis(alone.port, quiet), credentials }),
  'a Cluster by URLs': (credentials) =>
    new RedisBackend({
      cluster: [`redis://somebody:wrong@${host}:${cluster.port}`],
      commandTimeout: 300,
      credentials,
    }),
  'a Cluster by a client of ioredis 5': (credentials) =>
    new RedisBackend({
      client: new Cluster5([{ host, port: cluster.port }], { lazyConnect: true }),
      credentials,
    }),
};

describe.each(Object.entries(backends))('credentials of a function, for %s', (_, make) => {
  it.each([
    ['at once', () => ({ username, password })],
    ['in a while', () => Promise.resolve().then(() => ({ username, password }))],
  ])('that gives them %s: each connection has those of then', async (__, credentials) => {
    const service = openService(make(credentials as () => RedisCredentials));
    await expectServes(service);
    await setPassword();
    await cutOff();
    await expectServes(service);
  });

  it('that fails at first: is asked again', async () => {
    let asked = 0;
    const service = openService(
      make(() => {
        if (asked++ === 0) throw new Error('no token today');
        return { username, password };
      }),
    );
    await expectServes(service);
  });
});

describe.each([
  ['a URL', backends['a URL']!],
  ['a Cluster', backends['a Cluster by URLs']!],
])('credentials of a function, for %s', (_, make) => {
  it.each<[string, () => unknown, RegExp]>([
    ['gives nothing', () => undefined, /credentials must give .* got undefined/],
    ['gives the password alone', () => password, /credentials must give .* got a string/],
    ['gives no password', () => ({ username }), /got a password of type undefined/],
    ['rejects', () => Promise.reject(new Error('no token')), /credentials failed: no token/],
    ['hangs', () => new Promise(() => undefined), /credentials took longer than 300 ms/],
  ])('that %s: the error says so', async (__, credentials, message) => {
    const error = await failure(make(credentials as () => RedisCredentials));
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain(password);
  });
});

it('credentials of a function are for all nodes of a quorum', async () => {
  const others = await Promise.all([RedisServer.start(), RedisServer.start()]);
  const before = admins;
  admins = [alone, ...others].map((server) => server.client());
  try {
    await setPassword();
    const nodes = [alone, ...others].map(({ url }) => url);
    const credentials = () => ({ username, password });
    const service = openService(new RedlockBackend({ nodes, credentials }));
    await expectServes(service);
    await setPassword();
    await cutOff();
    await expectServes(service);
    await service.close();
  } finally {
    for (const admin of admins) admin.disconnect();
    admins = before;
    await Promise.all(others.map((server) => server.stop()));
  }
});

it('credentials that are no function are refused', () => {
  const credentials = { username, password } as unknown as () => RedisCredentials;
  for (const make of Object.values(backends)) {
    expect(() => make(credentials)).toThrow(LockConfigurationError);
  }
});
