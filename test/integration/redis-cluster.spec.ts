import type { Lock, LockModuleOptions, LockService } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { slotOf } from '../../lib/backends/redis-common/cluster-slot.js';
import { BUCKETS, bucketOf } from '../../lib/backends/redis-common/keyspace.js';
import { ClusterView } from '../support/cluster-view.js';
import { eventually } from '../support/eventually.js';
import { machineTime } from '../support/history.js';
import { RedisCluster } from '../support/redis-cluster.js';
import { openService } from '../support/two-processes.js';

/** What clients of ours send; INFO counts what the scripts call too. */
const SENT =
  /^cmdstat_(eval|evalsha|subscribe|ssubscribe|cluster\|\w+|asking|readonly):calls=(\d+)/gm;

let cluster: RedisCluster;
let view: ClusterView;

beforeAll(async () => {
  cluster = await RedisCluster.start();
  view = new ClusterView(cluster);
});

afterAll(() => cluster.stop());

const open = (options?: LockModuleOptions) =>
  openService(new RedisBackend({ cluster: cluster.urls }), options);

/** How many commands of each kind clients send to all nodes while this runs. */
async function commandsOf(work: () => Promise<unknown>): Promise<Record<string, number>> {
  const masters = await cluster.masters();
  await Promise.all(masters.map(({ admin }) => admin.config('RESETSTAT')));
  await work();
  const counts: Record<string, number> = {};
  for (const { admin } of masters) {
    for (const [, command, calls] of (await admin.info('commandstats')).matchAll(SENT)) {
      counts[command!] = (counts[command!] ?? 0) + Number(calls);
    }
  }
  return counts;
}

/** So many keys, each in a bucket of its own. */
function keysOfBuckets(count: number): string[] {
  const found = new Map<number, string>();
  for (let n = 0; found.size < count; n++) found.set(bucketOf(`key:${n}`), `key:${n}`);
  return [...found.values()];
}

/** Has done what is done once for each bucket: its clock is known, its channel subscribed. */
async function warm(service: LockService, keys: readonly string[]): Promise<void> {
  await Promise.all(keys.map((key) => service.withLock(key, () => Promise.resolve())));
  await eventually('all listen', async () => {
    return (await channels()).length >= new Set(keys.map(bucketOf)).size;
  });
}

async function channels(): Promise<string[]> {
  const masters = await cluster.masters();
  const lists = masters.map(({ admin }) => admin.call('PUBSUB', 'SHARDCHANNELS'));
  return ((await Promise.all(lists)) as string[][]).flat();
}

/** The connections of one kind to each node, but for those of the test. */
async function connections(type: 'normal' | 'pubsub'): Promise<string[][]> {
  return Promise.all(
    cluster.nodes.map(async ({ admin }) => {
      const mine = `id=${String(await admin.call('CLIENT', 'ID'))} `;
      const list = String(await admin.call('CLIENT', 'LIST', 'TYPE', type));
      return list.split('\n').filter((line) => line !== '' && !line.startsWith(mine));
    }),
  );
}

/** What keeps this process from exiting. */
function resources(): string[] {
  return process.getActiveResourcesInfo();
}

it('finds the slot of a name as the server does', async () => {
  const names = ['', 'a', '{a}b', 'x{a}b', '{}a', '{a', '}{a}', '{{a}}', 'Schlüssel', '{鍵}🔑'];
  for (const name of names)
    expect([name, slotOf(name)]).toEqual([name, await cluster.slotOf(name)]);
});

describe('cost', () => {
  it('an uncontended lock costs one command, and its release another', async () => {
    const service = open();
    const keys = keysOfBuckets(50);
    await warm(service, keys);
    const locks: Lock[] = [];
    const acquiring = await commandsOf(async () => {
      for (const key of keys) locks.push(await service.acquire(key));
    });
    const releasing = await commandsOf(() => Promise.all(locks.map((lock) => lock.release())));
    expect([acquiring, releasing]).toEqual([{ evalsha: 50 }, { evalsha: 50 }]);
  });
});

it('opens one connection to each node for commands, and one to each shard to listen on', async () => {
  const before = resources().length;
  const services = [open(), open(), open()];
  const keys = keysOfBuckets(BUCKETS);
  for (const service of services) await warm(service, keys);
  await eventually('all listen', async () => {
    return (await channels()).length === services.length * BUCKETS;
  });
  const masters = await cluster.masters();
  const each = cluster.nodes.map((node) => (masters.includes(node) ? services.length : 0));
  expect((await connections('pubsub')).map(({ length }) => length)).toEqual(each);
  // ioredis opens one to a replica as well, where it learns that it is one.
  const most = Math.max(...(await connections('normal')).map(({ length }) => length));
  expect(most).toBe(services.length);

  await Promise.all(services.map((service) => service.close()));
  await eventually('no connection', async () => {
    return [...(await connections('normal')), ...(await connections('pubsub'))].flat().length === 0;
  });
  expect(resources().length).toBeLessThanOrEqual(before);
});

describe('ten thousand keys', () => {
  const keys = Array.from({ length: 10_000 }, (_, n) => `order:${n}`);

  it('are spread over all shards, and leave nothing but the sequences', async () => {
    const service = open();
    let next = 0;
    const caller = async () => {
      while (next < keys.length) await service.withLock(keys[next++]!, () => Promise.resolve());
    };
    await Promise.all(Array.from({ length: 200 }, caller));
    const names = await view.names();
    expect(names.filter((name) => !/^\{nestjs-lock:\d+\}:sequence$/.test(name))).toEqual([]);
    expect(names.length).toBeLessThanOrEqual(BUCKETS);
    for (const { admin } of await cluster.masters()) {
      expect(await admin.dbsize()).toBeGreaterThan(BUCKETS / 4);
    }
  });

  it('are held at once, and renewed together', async () => {
    const service = open();
    const ttl = 15_000;
    const locks: Lock[] = [];
    for (let first = 0; first < keys.length; first += 500) {
      const some = keys.slice(first, first + 500).map((key) => service.acquire(key, { ttl }));
      locks.push(...(await Promise.all(some)));
    }
    for (const { admin } of await cluster.masters()) {
      expect(await admin.dbsize()).toBeGreaterThan(keys.length / 4);
    }
    const start = machineTime();
    const { evalsha, ...others } = await commandsOf(() =>
      eventually('a ttl', () => machineTime() > start + ttl),
    );
    const rounds = (machineTime() - start) / (ttl / 3);
    expect(Object.keys(others).filter((command) => command !== 'eval')).toEqual([]);
    // Less than one command for two leases, though they lie in all buckets.
    expect(evalsha).toBeLessThan((rounds * locks.length) / 2);
    expect(locks.filter(({ held }) => !held)).toEqual([]);
    let next = 0;
    const caller = async () => {
      while (next < locks.length) expect(await locks[next++]!.release()).toBe('released');
    };
    await Promise.all(Array.from({ length: 200 }, caller));
    expect((await view.names()).length).toBeLessThanOrEqual(BUCKETS);
  });
});

it('waiters in many buckets give their signs of life in one command for each node', async () => {
  const keys = keysOfBuckets(200);
  const [holder, service] = [open(), open()];
  await warm(service, keys);
  const locks = await Promise.all(keys.map((key) => holder.acquire(key, { ttl: 60_000 })));
  const ended = new AbortController();
  const waiting = keys.map((key) =>
    service.acquire(key, { wait: 60_000, signal: ended.signal }).catch(() => undefined),
  );
  await eventually('all queued', async () => {
    const states = await Promise.all(keys.map((key) => holder.inspect(key)));
    return states.every(({ waiters }) => waiters === 1);
  });
  const { eval: unknown = 0, evalsha = 0 } = await commandsOf(async () => {
    await eventually('three signs of life', async () => {
      const masters = await cluster.masters();
      const said = await Promise.all(masters.map(({ admin }) => admin.info('commandstats')));
      const signs = said.map((text) => Number(/^cmdstat_zadd:calls=(\d+)/m.exec(text)?.[1] ?? 0));
      return signs.reduce((sum, count) => sum + count, 0) >= 3 * keys.length;
    });
  });
  // One that is told for the first time is sent again with its text; and one round more may have begun.
  expect(evalsha + unknown).toBeLessThanOrEqual(5 * 3);
  ended.abort();
  await Promise.all(waiting);
  await Promise.all(locks.map((lock) => lock.release()));
});
