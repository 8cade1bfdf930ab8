import { type Cluster, Redis } from 'ioredis';
import { eventually } from '../support/eventually.js';
import { RedisCluster } from '../support/redis-cluster.js';
import { host } from '../support/redis-nodes.js';
import { RedisSentinels } from '../support/redis-sentinel.js';

const clients: (Redis | Cluster)[] = [];

/** Ours to close, at the end of the test. */
function own<T extends Redis | Cluster>(client: T): T {
  clients.push(client);
  return client;
}

afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

describe('a cluster of the test', () => {
  let cluster: RedisCluster;

  beforeAll(async () => {
    cluster = await RedisCluster.start();
  });

  afterAll(() => cluster.stop());

  it('has three masters with a replica each', async () => {
    const masters = await cluster.masters();
    expect(masters).toHaveLength(3);
    const replicas = await Promise.all(masters.map((master) => cluster.replicasOf(master)));
    expect(new Set([...masters, ...replicas.flat()])).toEqual(new Set(cluster.nodes));
  });

  it('moves a slot with its keys', async () => {
    const client = own(cluster.client());
    const keys = Array.from({ length: 250 }, (_, index) => `{moved}:${index}`);
    for (const key of keys) await client.set(key, key);
    const slot = await cluster.slotOf('{moved}');
    const from = await cluster.masterOf(slot);
    const to = (await cluster.masters()).find((master) => master !== from) ?? from;
    await cluster.moveSlot(slot, to);
    expect(await cluster.masterOf(slot)).toBe(to);
    expect(await client.mget(keys)).toEqual(keys);
    await expect(from.admin.get('{moved}:0')).rejects.toThrow(`MOVED ${slot} ${host}:${to.port}`);
  });

  it('can be caught while it moves a slot', async () => {
    const client = own(cluster.client());
    await client.mset('{caught}:here', 1, '{caught}:there', 2);
    const slot = await cluster.slotOf('{caught}');
    const from = await cluster.masterOf(slot);
    const to = (await cluster.masters()).find((master) => master !== from) ?? from;
    const move = await cluster.beginMove(slot, to);
    await move.migrate(['{caught}:there']);
    await expect(from.admin.get('{caught}:there')).rejects.toThrow('ASK');
    await expect(from.admin.mget('{caught}:here', '{caught}:there')).rejects.toThrow('TRYAGAIN');
    await move.finish();
    expect(await client.mget('{caught}:here', '{caught}:there')).toEqual(['1', '2']);
  });

  it.each(['kill', 'freeze'] as const)('goes on without a master: %s', async (fault) => {
    const key = 'gone';
    const master = await cluster.masterOf(key);
    await master[fault]();
    await cluster.failedOver(master);
    const heir = await cluster.masterOf(key);
    expect(heir).not.toBe(master);
    expect(await heir.admin.set(key, fault)).toBe('OK');
    if (fault === 'kill') await master.relaunch();
    else master.thaw();
    await cluster.settled();
    await eventually('its replica', async () => {
      return (await cluster.replicasOf(heir)).includes(master);
    });
    expect(await heir.admin.get(key)).toBe(fault);
  });
});

describe('a Sentinel set of the test', () => {
  let set: RedisSentinels;

  beforeAll(async () => {
    set = await RedisSentinels.start(['--min-replicas-to-write', '1']);
  });

  afterAll(() => set.stop());

  it('leads a client to its master', async () => {
    const client = own(new Redis(set.options()));
    expect(await client.set('led', 'there')).toBe('OK');
    expect(await (await set.master()).admin.get('led')).toBe('there');
  });

  it.each(['kill', 'freeze', 'kill'] as const)('goes on without its master: %s', async (fault) => {
    const master = await (fault === 'kill' ? set.killMaster() : set.freezeMaster());
    const heir = await set.failedOver(master);
    expect(heir).not.toBe(master);
    await eventually('the heir has a replica', () =>
      heir.admin.set('fault', fault).then(
        () => true,
        () => false,
      ),
    );
    if (fault === 'kill') await set.relaunch(master);
    else master.thaw();
    await set.settled();
    await eventually('the old master is a replica', async () => {
      return (await master.info('replication'))('role') === 'slave';
    });
    expect(await master.admin.get('fault')).toBe(fault);
  });
});
