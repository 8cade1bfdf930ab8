import { jest } from '@jest/globals';
import { Cluster } from 'ioredis';
import { RedisBackend } from 'nestjs-lock/redis';
import { Cluster as Cluster5 } from '../nest-11/node_modules/ioredis/built/index.js';
import { eventually } from '../support/eventually.js';
import { oldCluster } from '../support/old-cluster.js';
import { RedisCluster } from '../support/redis-cluster.js';
import { host } from '../support/redis-nodes.js';
import { openService, useEverything, useSharing, warnings } from '../support/two-processes.js';

const KEYS = '~{nestjs-lock:*}:*';
const CHANNELS = '&{nestjs-lock:*}:process:*';
/** What clients send themselves. */
const SENT = ['info', 'cluster|slots', 'ssubscribe', 'scan', 'eval', 'evalsha'];
/** What the scripts call. */
const CALLED = [
  ...[
    'time',
    'spublish',
    'pubsub|shardnumsub',
    'get',
    'set',
    'del',
    'exists',
    'type',
    'pexpire',
    'pttl',
  ],
  ...['hget', 'hset', 'hdel', 'hlen', 'hgetall'],
  ...['zadd', 'zrem', 'zscore', 'zrank', 'zcount', 'zrange', 'zrangebyscore'],
];
const COMMANDS = [...SENT, ...CALLED];
/** What locks of the default namespace need, and nothing more. */
const MINIMUM = ['resetchannels', KEYS, CHANNELS, ...COMMANDS.map((command) => `+${command}`)];

/** What ioredis sends besides, and does without: allowed, it does not fill the server's ACL LOG. */
const COURTESIES = ['client|setname', 'readonly', 'readwrite'].map((command) => `+${command}`);

let cluster: RedisCluster;
const clients: { disconnect(): void }[] = [];

/** Lets a user of this name and password do just that, at every node. */
async function allow(...rights: string[]): Promise<void> {
  await Promise.all(
    cluster.nodes.map(async ({ admin }) => {
      await admin.call('ACL', 'SETUSER', 'locks', 'reset', 'on', '>s3cret', ...rights);
      await admin.call('ACL', 'LOG', 'RESET');
      // The scripts of an earlier test would spare a client its EVAL.
      await admin.script('FLUSH');
    }),
  );
}

/** What the user was refused, at any node. */
async function refusals(): Promise<unknown[]> {
  const logs = await Promise.all(cluster.nodes.map(({ admin }) => admin.call('ACL', 'LOG')));
  return (logs as unknown[][][]).flat().map((entry) => entry[entry.indexOf('object') + 1]);
}

/** Who the clients of all nodes are, but for those of the test. */
async function users(): Promise<string[]> {
  const lists = await Promise.all(
    cluster.nodes.map(async ({ admin }) => {
      const mine = `id=${String(await admin.call('CLIENT', 'ID'))} `;
      const normal = String(await admin.call('CLIENT', 'LIST', 'TYPE', 'normal'));
      const pubsub = String(await admin.call('CLIENT', 'LIST', 'TYPE', 'pubsub'));
      return `${normal}${pubsub}`.split('\n').filter((line) => line && !line.startsWith(mine));
    }),
  );
  return lists.flat().map((line) => /\buser=(\S+)/.exec(line)?.[1] ?? '');
}

const backend = () =>
  new RedisBackend({
    cluster: cluster.urls.map((url, index) =>
      index === 0 ? url.replace('//', '//locks:s3cret@') : url,
    ),
  });

const nodes = () => cluster.nodes.map(({ port }) => ({ host, port }));

beforeAll(async () => {
  // ioredis says by itself that it may not ask for INFO.
  jest.spyOn(console, 'warn').mockReturnValue();
  cluster = await RedisCluster.start();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

afterAll(() => cluster.stop());

describe('the minimal rights on a Cluster', () => {
  it('are enough for everything, without a warning, at every node', async () => {
    await allow(...MINIMUM, ...COURTESIES);
    const keys = Array.from({ length: 12 }, (_, n) => `key:${n}`);
    await Promise.all(keys.map((key) => useEverything(backend(), backend(), key)));
    await useSharing(backend());
    expect(new Set(await users())).toEqual(new Set(['locks']));
    expect(warnings).toEqual([]);
    expect(await refusals()).toEqual([]);
  });

  it.each([
    [5, Cluster5],
    [6, Cluster],
  ])('are enough for a client of ioredis %i', async (_, Client) => {
    await allow(...MINIMUM);
    // The client of the user's own has its own ways, which need more.
    const client = new Client(nodes(), {
      redisOptions: { username: 'locks', password: 's3cret' },
      lazyConnect: true,
    });
    clients.push(client);
    await useEverything(new RedisBackend({ client }));
    expect(new Set(await users())).toEqual(new Set(['locks']));
    expect(warnings).toEqual([]);
    const refused = new Set((await refusals()).map((what) => `+${String(what)}`));
    expect([...refused].filter((right) => !COURTESIES.includes(right))).toEqual([]);
  });

  it('are enough without sharded channels, with what the docs put in their place', async () => {
    const others = MINIMUM.filter((right) => !/^\+(ssubscribe|spublish|pubsub.*)$/.test(right));
    await allow(...others, '+subscribe', '+publish', '+pubsub|numsub', ...COURTESIES);
    const client = oldCluster(nodes, { username: 'locks', password: 's3cret' });
    const old = () => new RedisBackend({ client });
    const keys = Array.from({ length: 6 }, (_, n) => `old:${n}`);
    for (const key of keys) await useEverything(old(), old(), key);
    await useSharing(old());
    expect(new Set(await users())).toEqual(new Set(['locks']));
    expect(warnings).toEqual([]);
    expect(await refusals()).toEqual([]);
  });

  it('keep the user out of all other keys and channels', async () => {
    await allow(...MINIMUM);
    const client = cluster.client({
      redisOptions: { username: 'locks', password: 's3cret' },
      enableReadyCheck: false,
    });
    clients.push(client);
    await expect(client.get('other')).rejects.toThrow('NOPERM');
    await expect(client.spublish('other', '')).rejects.toThrow('NOPERM');
    await expect(client.publish('{nestjs-lock:0}:process:x', '')).rejects.toThrow('NOPERM');
  });
});

describe('a user on a Cluster who lacks', () => {
  it.each(COMMANDS)('%s is told so', async (command) => {
    await allow(...MINIMUM.filter((right) => right !== `+${command}`));
    const failure = openService(backend())
      .tryAcquire('k')
      .then(() => '', String);
    warnings.push(await failure);
    const right = new RegExp(
      `\\b${command.replace('|shardnumsub', '').replace('|', '\\|')}\\b.*minimal ACL in docs/backends/redis.md`,
      'i',
    );
    const isTold = () => warnings.some((word) => right.test(word));
    await eventually(`a word of ${command}`, isTold);
    expect(isTold()).toBe(true);
  });
});
