import type { Redis } from 'ioredis';
import { Redis as Client } from 'ioredis';
import type { Lock, LockService } from 'nestjs-lock';
import { RedlockBackend } from 'nestjs-lock/redis';
import { eventually } from '../support/eventually.js';
import { RedisServer } from '../support/redis-server.js';
import { openService, useEverything, warnings } from '../support/two-processes.js';

const KEYS = '~{nestjs-lock:0}:*';
const CHANNELS = '&{nestjs-lock:0}:process:*';
/** What clients send themselves. */
const SENT = ['info', 'subscribe', 'scan', 'eval', 'evalsha'];
/** What the scripts call. */
const CALLED = [
  ...['time', 'publish', 'pubsub|numsub', 'get', 'set', 'del', 'exists', 'type', 'pexpire', 'pttl'],
  ...['hget', 'hset', 'hdel', 'hlen', 'hgetall'],
  ...['zadd', 'zrem', 'zscore', 'zrank', 'zcount', 'zrange', 'zrangebyscore'],
];
/** What clients send, of all that INFO counts: it counts what scripts call as well. */
const COUNTED = /^(evalsha|eval|subscribe|hello|ping)$/;

let servers: RedisServer[];
let admins: Redis[];

beforeAll(async () => {
  servers = await Promise.all([1, 2, 3].map(() => RedisServer.start()));
  admins = servers.map((server) => server.client());
});

afterEach(() => Promise.all(admins.map((admin) => admin.flushall())));

afterAll(async () => {
  for (const admin of admins) admin.disconnect();
  await Promise.all(servers.map((server) => server.stop()));
});

const backend = () => new RedlockBackend({ nodes: servers.map(({ url }) => url) });

/** Services that have done all that they do once, at the start. */
async function openQuiet(count: number): Promise<LockService[]> {
  const services = Array.from({ length: count }, () => openService(backend()));
  for (const service of services) {
    const lock = await service.acquire('warm');
    await lock.renew();
    await lock.release();
  }
  await everywhere('all listen', async (admin) => {
    return ((await admin.call('PUBSUB', 'CHANNELS')) as string[]).length === count;
  });
  return services;
}

function everywhere(what: string, holds: (admin: Redis) => Promise<boolean>): Promise<void> {
  return eventually(what, async () => (await Promise.all(admins.map(holds))).every(Boolean));
}

/** How many commands of each kind clients send to each node while this runs. */
async function commandsOf(work: () => Promise<unknown>): Promise<Record<string, number>[]> {
  await Promise.all(admins.map((admin) => admin.config('RESETSTAT')));
  await work();
  return Promise.all(
    admins.map(async (admin) => {
      const statistics = await admin.info('commandstats');
      const counts = [...statistics.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
        .map(([, command, calls]) => [command!, Number(calls)] as const)
        .filter(([command]) => COUNTED.test(command));
      return Object.fromEntries(counts);
    }),
  );
}

it('does all that locks can do, with clients as with URLs', async () => {
  const clients = servers.map(({ url }) => new Client(url, { keyPrefix: 'app:' }));
  const other = () => new RedlockBackend({ nodes: clients });
  await useEverything(backend(), backend());
  await useEverything(other(), other());
  expect(warnings).toEqual([]);
  for (const [index, admin] of admins.entries()) {
    expect(await admin.keys('*lock:everything')).toEqual([]);
    expect(await admin.exists('app:{nestjs-lock:0}:sequence')).toBe(1);
    expect(clients[index]!.status).toBe('ready');
    clients[index]!.disconnect();
  }
});

it('opens two connections to each node, and closes them', async () => {
  const connections = (admin: Redis) => admin.client('LIST') as Promise<string>;
  const count = async (admin: Redis) => (await connections(admin)).trim().split('\n').length;
  await everywhere('quiet', async (admin) => (await count(admin)) === 1);
  const [first] = await openQuiet(2);
  await everywhere('two of each service', async (admin) => (await count(admin)) === 5);
  await first!.close();
  await everywhere('two of one', async (admin) => (await count(admin)) === 3);
  expect(warnings).toEqual([]);
});

it('an uncontended lock costs one command at each node, and its release another', async () => {
  const [service] = await openQuiet(1);
  const locks: Lock[] = [];
  const acquiring = await commandsOf(async () => {
    for (let n = 0; n < 50; n++) locks.push(await service!.acquire(`k${n}`));
    await everywhere('the last vote', async (admin) => {
      return (await admin.exists('{nestjs-lock:0}:lock:k49')) === 1;
    });
  });
  const releasing = await commandsOf(async () => {
    await Promise.all(locks.map((lock) => lock.release()));
    await everywhere('nothing held', async (admin) => {
      return (await admin.keys('{nestjs-lock:0}:lock:*')).length === 0;
    });
  });
  const nodes = [0, 1, 2];
  expect(releasing).toEqual(nodes.map(() => ({ evalsha: 50 })));
  expect(acquiring).toEqual(nodes.map(() => ({ evalsha: 50 })));
});

it('idle waiters cost a command a second at each node, however many there are', async () => {
  const [holder, waiting] = await openQuiet(2);
  const keys = Array.from({ length: 50 }, (_, index) => `k${index}`);
  const locks = await Promise.all(keys.map((key) => holder!.acquire(key, { renew: false })));
  const abort = new AbortController();
  const given = keys.map((key) =>
    waiting!.acquire(key, { wait: Infinity, signal: abort.signal }).catch(() => undefined),
  );
  await everywhere('all wait', async (admin) => {
    return (await admin.keys('{nestjs-lock:0}:queue:*')).length === keys.length;
  });
  const start = performance.now();
  const commands = await commandsOf(() =>
    eventually('three seconds', () => performance.now() - start > 3_000),
  );
  const most = Math.ceil((performance.now() - start) / 1_000) + 1;
  for (const { evalsha, eval: first = 0, ...others } of commands) {
    expect(evalsha).toBeGreaterThanOrEqual(2);
    expect(evalsha).toBeLessThanOrEqual(most);
    // For the text of the script.
    expect(first).toBeLessThanOrEqual(1);
    expect(others).toEqual({});
  }
  abort.abort();
  await Promise.all(given);
  await Promise.all(locks.map((lock) => lock.release()));
  await everywhere('nothing left', async (admin) => {
    const names = await admin.keys('*');
    return names.every((name) => /:(sequence|guard)$/.test(name));
  });
});

describe('the rights', () => {
  const MINIMUM = [
    'resetchannels',
    KEYS,
    CHANNELS,
    ...[...SENT, ...CALLED].map((one) => `+${one}`),
  ];

  async function allow(rights: string[]): Promise<RedlockBackend> {
    for (const admin of admins) {
      await admin.call('ACL', 'SETUSER', 'locks', 'reset', 'on', '>s3cret', ...rights);
      await admin.call('ACL', 'LOG', 'RESET');
      // The scripts of an earlier test would spare a client its EVAL.
      await admin.script('FLUSH');
    }
    const nodes = servers.map(({ port }) => `redis://locks:s3cret@127.0.0.1:${port}`);
    return new RedlockBackend({ nodes });
  }

  it('that one Redis asks for are enough', async () => {
    const limited = await allow(MINIMUM);
    await useEverything(limited);
    expect(warnings).toEqual([]);
    for (const admin of admins) expect(await admin.call('ACL', 'LOG')).toEqual([]);
  });

  it.each(['publish', 'subscribe', 'zadd', 'evalsha'])(
    '%s is missed at the start, at each node',
    async (command) => {
      const limited = await allow(MINIMUM.filter((right) => right !== `+${command}`));
      openService(limited);
      const told = (node: number) =>
        warnings.filter((warning) => warning.startsWith(`Redlock node ${node} of 3: `));
      const nodes = [1, 2, 3];
      await eventually('warnings', () => nodes.every((node) => told(node).length > 0));
      for (const node of nodes) {
        expect(told(node).join('\n')).toContain('minimal ACL in docs/backends/redis.md');
        expect(told(node).join('\n').toLowerCase()).toContain(command);
      }
    },
  );
});

it('a node that may evict locks is warned of', async () => {
  await admins[1]!.config('SET', 'maxmemory-policy', 'allkeys-lru');
  openService(backend());
  await eventually('a warning', () => warnings.length > 0);
  expect(warnings).toEqual([expect.stringMatching(/^Redlock node 2 of 3: .*allkeys-lru/)]);
  await admins[1]!.config('SET', 'maxmemory-policy', 'noeviction');
});
