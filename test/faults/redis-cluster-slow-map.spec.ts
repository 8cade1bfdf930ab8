import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from 'ioredis';
import type { Lock, LockService } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { ClusterView } from '../support/cluster-view.js';
import { eventually } from '../support/eventually.js';
import { RedisCluster } from '../support/redis-cluster.js';
import { reader } from '../support/redis-nodes.js';
import { Scene } from '../support/scene.js';

/** How long a look at the map of the Cluster takes, where it is slow, in milliseconds. */
const SLOW = 3_000;

/** How long who is not to be let in is watched not to be: nothing tells of what does not happen. */
const QUIET = 1_000;

describe('a process that learns late who serves a slot after a failover', () => {
  const scene = new Scene();
  let cluster: RedisCluster;
  let view: ClusterView;
  let quick: [LockService, LockService];
  let slow: LockService;
  let delay = 0;

  beforeAll(async () => {
    cluster = await RedisCluster.start();
    scene.also(() => cluster.stop());
    view = new ClusterView(cluster);
    const open = () => scene.service(new RedisBackend({ cluster: cluster.urls }));
    quick = [open(), open()];
    const client = new Cluster([...cluster.urls]);
    scene.also(() => {
      client.disconnect();
    });
    const duplicate = client.duplicate.bind(client);
    client.duplicate = (...given) => {
      const own = duplicate(...given);
      const refresh = own.refreshSlotsCache.bind(own);
      own.refreshSlotsCache = (done) => {
        setTimeout(() => {
          refresh(done);
        }, delay);
      };
      return own;
    };
    slow = scene.service(new RedisBackend({ client }));
  });

  afterAll(() => scene.end());

  it('believes in no grant that its old master, a replica now, lets it hear', async () => {
    const key = 'slow map';
    const [holder, behind] = quick;
    const lock = await holder.acquire(key);
    const waiting: [name: string, lock: Promise<Lock>][] = [];
    for (const [name, service] of Object.entries({ slow, behind })) {
      waiting.push([name, service.acquire(key, { wait: '40s' })]);
      await view.queued(key, waiting.length);
    }
    const master = await view.masterOf(key);
    const { channel } = view.keyspaceOf(key);
    await eventually('all three listen at the master', async () => {
      const heard = await master.admin.call('PUBSUB', 'SHARDCHANNELS', `${channel}*`);
      return (heard as string[]).length === 3;
    });

    delay = SLOW;
    const [heir] = await cluster.replicasOf(master);
    await heir!.admin.call('CLUSTER', 'FAILOVER');
    await eventually('the old master follows the new one', async () => {
      const says = reader(await heir!.admin.info('replication'));
      return says('role') === 'master' && says('connected_slaves') === '1';
    });
    await lock.release();

    const granted: { name: string; lock: Lock }[] = [];
    for (const [name, promise] of waiting) {
      void promise.then((lock) => granted.push({ name, lock }));
    }
    await eventually('one of them is let in', () => granted.length > 0);
    await sleep(QUIET);
    delay = 0;
    const [first, second] = granted;
    expect(second).toBeUndefined();
    await first!.lock.renew();
    await first!.lock.release();
    await eventually('the other one is let in', () => granted.length === 2);
    const next = granted[1]!.lock;
    expect(next.fencingToken).toBeGreaterThan(first!.lock.fencingToken);
    await next.renew();
    await next.release();
  });
});
