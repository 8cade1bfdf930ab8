import { Cluster, Redis } from 'ioredis';
import type { LockService } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { redisScripts } from '../../lib/backends/redis/redis-scripts.js';
import { Cluster as Cluster5 } from '../nest-11/node_modules/ioredis/built/index.js';
import { ClusterView } from '../support/cluster-view.js';
import { deadWaiter } from '../support/dead-waiter.js';
import { eventually } from '../support/eventually.js';
import { entered, machineTime } from '../support/history.js';
import { oldCluster } from '../support/old-cluster.js';
import { RedisCluster } from '../support/redis-cluster.js';
import { host } from '../support/redis-nodes.js';
import { subscriberLink, TcpProxy } from '../support/tcp-proxy.js';
import { openService, useEverything, warnings } from '../support/two-processes.js';

/** How long a hand-off lives without a renewal, in milliseconds. */
const CLAIM = 2_000;

let cluster: RedisCluster;
let view: ClusterView;

beforeAll(async () => {
  cluster = await RedisCluster.start();
  view = new ClusterView(cluster);
});

afterAll(() => cluster.stop());

const nodes = () => cluster.nodes.map(({ port }) => ({ host, port }));

const oldBackend = () => new RedisBackend({ client: oldCluster(nodes) });

/** The channels of one kind at all nodes. */
async function channels(kind: 'CHANNELS' | 'SHARDCHANNELS'): Promise<string[]> {
  const lists = cluster.nodes.map(({ admin }) => admin.call('PUBSUB', kind));
  return ((await Promise.all(lists)) as string[][]).flat();
}

/**
 * Waits until the process of the last waiter listens where the key's slot is: no longer than for a
 * heartbeat, at which it learns that the slot has moved, and a look or two.
 */
async function listening(key: string): Promise<void> {
  const keyspace = view.keyspaceOf(key);
  const [, queue] = keyspace.of(key);
  const listens = async () => {
    const { admin } = await view.masterOf(key);
    const [waiter = ''] = await admin.zrange(queue, '-1', '-1');
    const own = `${keyspace.channel}${waiter.split(':')[0]}`;
    const kinds = ['NUMSUB', 'SHARDNUMSUB'].map((kind) => admin.call('PUBSUB', kind, own));
    return ((await Promise.all(kinds)) as [string, number][]).some(([, count]) => count > 0);
  };
  await eventually(`somebody waits for ${key} and listens`, listens);
}

/** As if a process had queued and died: nobody refreshes it. */
async function bury(key: string, id: string): Promise<void> {
  const { admin } = await view.masterOf(key);
  await admin.eval(redisScripts.acquire.source, ...deadWaiter(view.keyspaceOf(key), key, id));
}

/** A waiter of another process has the lock after the release. */
async function handOff(key: string, from: LockService, to: LockService): Promise<void> {
  const lock = await from.acquire(key);
  const granted = entered(to.acquire(key));
  await view.queued(key, 1);
  await lock.release();
  const next = await granted;
  expect(next.token).toBeGreaterThan(lock.fencingToken);
  await next.lock.release();
}

/** Gives the slot of a key to another master. */
async function move(key: string): Promise<void> {
  const from = await view.masterOf(key);
  const to = (await cluster.masters()).find((master) => master !== from);
  await cluster.moveSlot(view.slotOf(key), to!);
}

it('a lease that its process has taken first of all: its end is told at once', async () => {
  const backend = () => new RedisBackend({ cluster: cluster.urls });
  const operator = openService(backend());
  for (let n = 0; n < 20; n++) {
    const key = `first:${n}`;
    await operator.inspect(key);
    const { signal } = await openService(backend(), { ttl: 60_000 }).acquire(key);
    expect(await operator.forceRelease(key)).toBe(1);
    // The next renewal would tell in 20 s.
    await eventually(`the end of ${key}`, () => signal.aborted);
  }
});

describe('on a Cluster without sharded channels', () => {
  it('grants are told on ordinary ones', async () => {
    const keys = Array.from({ length: 6 }, (_, n) => `key:${n}`);
    for (const key of keys) await useEverything(oldBackend(), oldBackend(), key);
    expect(warnings).toEqual([]);
    expect(await channels('SHARDCHANNELS')).toEqual([]);
    expect(await channels('CHANNELS')).toHaveLength(2 * keys.length);
  });

  it('nobody believes in a grant that was said where it does not listen any more', async () => {
    for (let n = 0; n < 5; n++) {
      const key = `said:${n}`;
      const [from, to] = [openService(oldBackend()), openService(oldBackend())];
      const lock = await from.acquire(key);
      const granted = entered(to.acquire(key));
      await view.queued(key, 1);
      await listening(key);
      // All nodes pass ordinary messages on, also to the one where it listened before.
      await move(key);
      await lock.release();
      const next = await granted;
      const { admin } = await view.masterOf(key);
      const held = await admin.get(view.keyspaceOf(key).of(key)[0]);
      expect(held).toMatch(new RegExp(` ${next.token}$`));
      expect(await next.lock.release()).toBe('released');
    }
  });

  it('waiters that have died are passed over', async () => {
    const key = 'dead';
    const [holder, next] = [openService(oldBackend()), openService(oldBackend())];
    const lock = await holder.acquire(key);
    for (let n = 0; n < 50; n++) await bury(key, `dead-${n}:1`);
    const granted = entered(next.acquire(key));
    await view.queued(key, 51);
    await listening(key);
    await lock.release();
    const { token } = await granted;
    expect(token).toBeGreaterThan(lock.fencingToken);
  });

  it('one that died unseen costs its claim, and nothing when it counts as dead', async () => {
    const key = 'unseen';
    const [holder, next] = [openService(oldBackend()), openService(oldBackend())];
    const lock = await holder.acquire(key);
    // Its connection still takes messages, as that of a frozen process does.
    const { admin, url } = await view.masterOf(key);
    const deaf = new Redis(url);
    await deaf.subscribe(`${view.keyspaceOf(key).channel}unseen`);
    await bury(key, 'unseen:1');
    const granted = entered(next.acquire(key));
    await view.queued(key, 2);
    const released = machineTime();
    await lock.release();
    const second = await granted;
    expect(second.at - released).toBeGreaterThan(CLAIM - 100);

    await bury(key, 'unseen:2');
    const [, , deadlines] = view.keyspaceOf(key).of(key);
    const third = entered(holder.acquire(key));
    await view.queued(key, 2);
    await eventually('it counts as dead', async () => {
      const [micros] = (await admin.time()).map(Number);
      return (await admin.zcount(deadlines, '-inf', micros! * 1_000)) === 1;
    });
    await second.lock.release();
    await third;
    deaf.disconnect();
  });
});

describe.each([
  ['sharded channels', () => new RedisBackend({ cluster: cluster.urls })],
  ['ordinary channels', oldBackend],
  [
    'sharded channels by ioredis 5',
    () => {
      const client = new Cluster5(nodes(), { lazyConnect: true });
      return new RedisBackend({ client });
    },
  ],
])('%s', (_, backend) => {
  it('follow their slot to another master', async () => {
    const [from, to] = [openService(backend()), openService(backend())];
    for (const key of ['moved:1', 'moved:2', 'moved:3']) {
      const lock = await from.acquire(key);
      const granted = entered(to.acquire(key));
      await view.queued(key, 1);
      await listening(key);
      await move(key);
      await listening(key);
      await lock.release();
      const next = await granted;
      await next.lock.release();
      await move(key);
      await handOff(key, to, from);
      await handOff(key, from, to);
    }
    expect(warnings).toEqual([]);
  });
});

it('a connection that hears nothing any more is made anew', async () => {
  const key = 'silent death';
  const proxies = await Promise.all(cluster.nodes.map(({ port }) => TcpProxy.start(port)));
  const address = (proxy: TcpProxy) => ({ host, port: Number(new URL(proxy.url).port) });
  const natMap = Object.fromEntries(
    cluster.nodes.map(({ port }, index) => [`${host}:${port}`, address(proxies[index]!)]),
  );
  const client = new Cluster(proxies.map(address), { natMap, lazyConnect: true });
  const holder = openService(new RedisBackend({ cluster: cluster.urls }));
  const waiter = openService(new RedisBackend({ client, commandTimeout: 500 }));
  const lock = await holder.acquire(key);
  const granted = entered(waiter.acquire(key, { wait: 20_000 }));
  await view.queued(key, 1);
  await listening(key);

  const proxy = proxies[cluster.nodes.indexOf(await view.masterOf(key))]!;
  const present = proxy.present();
  proxy.drop('replies', (link) => subscriberLink(link) && present(link));
  await eventually(
    'another one listens',
    () => proxy.count((link) => subscriberLink(link) && !present(link)) === 1,
  );
  await listening(key);
  await lock.release();
  expect((await granted).token).toBeGreaterThan(lock.fencingToken);
  await Promise.all(proxies.map((one) => one.stop()));
});
