import { Cluster } from 'ioredis';
import { LockConfigurationError } from 'nestjs-lock';
import { RedisBackend, type RedisBackendOptions } from 'nestjs-lock/redis';
import { Cluster as Cluster5 } from '../nest-11/node_modules/ioredis/built/index.js';
import { RedisCluster } from '../support/redis-cluster.js';
import { host } from '../support/redis-nodes.js';
import { RedisServer } from '../support/redis-server.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { failure, openService, useEverything, warnings } from '../support/two-processes.js';

let cluster: RedisCluster;
const clients: { disconnect(): void }[] = [];

beforeAll(async () => {
  cluster = await RedisCluster.start();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

afterAll(() => cluster.stop());

/** Ours to close, at the end of the test. */
function own<T extends { disconnect(): void }>(client: T): T {
  clients.push(client);
  return client;
}

const nodes = () => cluster.nodes.map(({ port }) => ({ host, port }));

/** The names of all that stands at the nodes, and of the channels there. */
async function names(): Promise<string[]> {
  const found = cluster.nodes.map(async ({ admin }) => {
    const channels = (await admin.call('PUBSUB', 'SHARDCHANNELS')) as string[];
    return [...(await admin.keys('*')), ...channels];
  });
  return (await Promise.all(found)).flat();
}

describe.each([
  [5, Cluster5],
  [6, Cluster],
])('a Cluster of ioredis %i', (_, Client) => {
  it('is copied, and neither used nor closed', async () => {
    const client = own(new Client(nodes(), { lazyConnect: true }));
    await useEverything(new RedisBackend({ client }));
    expect(client.status).toBe('wait');
    expect(warnings).toEqual([]);
  });

  it('works beside its owner, who uses it in other ways', async () => {
    const client = own(new Client(nodes(), { scaleReads: 'slave', shardedSubscribers: true }));
    await useEverything(new RedisBackend({ client }));
    expect(client.status).toBe('ready');
    await client.set('theirs', 'still');
    await client.del('theirs');
  });

  it.each([
    ['of its own', { keyPrefix: 'app:' }],
    ['of its nodes', { redisOptions: { keyPrefix: 'app:' } }],
  ])('has a keyPrefix %s, which all names get', async (_, options) => {
    const client = own(new Client(nodes(), { ...options, lazyConnect: true }));
    const backend = new RedisBackend({ client, namespace: 'prefixed' });
    const lock = await openService(backend).acquire('k');
    const found = (await names()).filter((name) => name.includes('{prefixed:'));
    expect(found.length).toBeGreaterThanOrEqual(2);
    expect(found.filter((name) => !name.startsWith('app:{prefixed:'))).toEqual([]);
    await lock.release();
    await useEverything(backend);
  });

  it('finds its nodes where its natMap says', async () => {
    const proxies = await Promise.all(
      cluster.nodes.map(async (node) => {
        const proxy = await TcpProxy.start(node.port);
        return { proxy, address: { host, port: Number(new URL(proxy.url).port) } };
      }),
    );
    const natMap = Object.fromEntries(
      cluster.nodes.map(({ port }, index) => [`${host}:${port}`, proxies[index]!.address]),
    );
    const client = own(new Client([proxies[0]!.address], { natMap, lazyConnect: true }));
    for (const key of ['a', 'b', 'c', 'd'])
      await useEverything(new RedisBackend({ client }), undefined, key);
    expect(warnings).toEqual([]);
    await Promise.all(proxies.map(({ proxy }) => proxy.stop()));
  });
});

it('takes a few of its nodes, of which not all must be there', async () => {
  const [one] = cluster.urls;
  await useEverything(new RedisBackend({ cluster: ['redis://127.0.0.1:1', one!] }));
  expect(warnings).toEqual([]);
});

it('says so when none of the nodes is there', async () => {
  const { message } = await failure(new RedisBackend({ cluster: ['redis://127.0.0.1:1'] }));
  expect(message).toContain('ECONNREFUSED 127.0.0.1:1');
});

it('says so when the credentials are wrong', async () => {
  const [url] = cluster.urls;
  const urls = [url!.replace('//', '//nobody:wrong@')];
  const { message } = await failure(new RedisBackend({ cluster: urls }), 3_000);
  expect(message).toContain('WRONGPASS');
});

it('says so when it is no Cluster', async () => {
  const server = await RedisServer.start();
  const { message } = await failure(new RedisBackend({ cluster: [server.url] }));
  expect(message).toContain('cluster support disabled');
  await server.stop();
});

it.each<[string, Partial<RedisBackendOptions>, string]>([
  [
    'failoverGrace',
    { failoverGrace: 'on' },
    "failoverGrace is for one node and Sentinel, got 'on'",
  ],
  [
    'failoverGrace',
    { failoverGrace: 'strict' },
    "failoverGrace is for one node and Sentinel, got 'strict'",
  ],
  ['replicas', { replicas: 1 }, 'replicas is for one node and Sentinel, got 1'],
])('refuses %s: %j', (_, options, message) => {
  const client = own(new Cluster(nodes(), { lazyConnect: true }));
  for (const way of [{ cluster: cluster.urls }, { client }]) {
    const make = () => new RedisBackend({ ...options, ...way } as RedisBackendOptions);
    expect(make).toThrow(LockConfigurationError);
    expect(make).toThrow(`${message} on a Cluster`);
  }
});

it.each([
  [[], 'cluster must be a list of URLs, got []'],
  ['redis://host', "cluster must be a list of URLs, got 'redis://host'"],
  [['redis://host', 'http://host'], "url must be a redis:// or rediss:// URL, got 'http://host'"],
])('refuses %j for a list of nodes', (given, message) => {
  expect(() => new RedisBackend({ cluster: given as string[] })).toThrow(message);
});
