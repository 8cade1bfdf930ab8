import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import {
  type Lock,
  LockBackendError,
  LockLostError,
  type LockOptions,
  type LockService,
} from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { ClusterView } from '../support/cluster-view.js';
import { eventually } from '../support/eventually.js';
import { FencedResource } from '../support/fenced-resource.js';
import { entered, lost, machineTime, type Visit, violations, visit } from '../support/history.js';
import { type ClusterNode, RedisCluster } from '../support/redis-cluster.js';
import { Scene } from '../support/scene.js';

/** What a waiter that nobody tells waits for, in milliseconds. */
const HEARTBEAT = 1_450;

/** Until a node that does not answer is given up: the default of commandTimeout, in milliseconds. */
const PATIENCE = 2_000;

/** How long a caller keeps its lock, in milliseconds: the processor is for the faults too. */
const STAY = 10;

/** How many LockServices. */
const SERVICES = 4;

/** How many callers each has. */
const CALLERS = 8;

/** A cluster, and services that use it. */
class ClusterScene extends Scene {
  cluster!: RedisCluster;
  view!: ClusterView;
  services!: LockService[];

  async build(): Promise<void> {
    this.cluster = await RedisCluster.start();
    this.also(() => this.cluster.stop());
    this.view = new ClusterView(this.cluster);
    this.services = Array.from({ length: SERVICES }, () =>
      this.service(new RedisBackend({ cluster: this.cluster.urls })),
    );
  }

  /** So many keys of each master. */
  async keys(each: number): Promise<string[]> {
    const masters = await this.cluster.masters();
    return (await Promise.all(masters.map((one) => this.view.keysOf(one, each)))).flat();
  }

  /** Gives the slot of a key to the next master, in the way that is given. */
  async move(key: string, way = this.quickly): Promise<void> {
    const masters = await this.cluster.masters();
    const from = masters.indexOf(await this.view.masterOf(key));
    await way(this.view.slotOf(key), masters[(from + 1) % masters.length]!);
  }

  readonly quickly = (slot: number, to: ClusterNode): Promise<void> =>
    this.cluster.moveSlot(slot, to);

  /** With time for the callers between any two keys. */
  readonly slowly = async (slot: number, to: ClusterNode): Promise<void> => {
    const move = await this.cluster.beginMove(slot, to);
    for (let keys = 0; keys < 4; keys++) {
      await setImmediate();
      await move.migrate(1);
    }
    await move.finish();
  };

  /** All callers of all services at work, each with one of the keys, until `work` is done. */
  async visits(
    keys: readonly string[],
    work: () => Promise<void>,
    enter: (key: string, lock: Lock) => Promise<unknown> = () => sleep(STAY),
    bear: (error: unknown) => void = (error) => {
      throw error;
    },
    options: LockOptions = { wait: 30_000 },
  ): Promise<Visit[]> {
    const history: Visit[] = [];
    let done = false;
    const caller = async (service: LockService, key: string) => {
      while (!done) {
        const visiting = service.withLock(key, options, async (lock) => {
          const entry = { token: lock.fencingToken, at: machineTime() };
          await enter(key, lock);
          history.push(visit(key, entry, machineTime(), lock.held));
        });
        await visiting.catch(bear);
      }
    };
    const callers = this.services.flatMap((service, index) =>
      Array.from({ length: CALLERS }, (_, n) => {
        return caller(service, keys[(index * CALLERS + n) % keys.length]!);
      }),
    );
    await work().finally(() => (done = true));
    await Promise.all(callers);
    return history;
  }

  /** How long it takes, from the release on, until a waiter of another process has the lock. */
  async handOff(key: string, from: LockService, to: LockService): Promise<number> {
    const lock = await from.acquire(key);
    const granted = entered(to.acquire(key));
    await this.view.queued(key, 1);
    const released = machineTime();
    await lock.release();
    const next = await granted;
    await next.lock.release();
    return next.at - released;
  }
}

describe('a Cluster whose slots move', () => {
  const scene = new ClusterScene();

  beforeAll(() => scene.build(), 60_000);

  afterAll(() => scene.end());

  it.each(['quickly', 'slowly'] as const)(
    'keeps every promise, and hands over when it is at rest again: %s',
    async (way) => {
      const { services } = scene;
      const keys = await scene.keys(3);
      const history = await scene.visits(keys, async () => {
        for (const key of [...keys, ...keys]) await scene.move(key, scene[way]);
      });
      expect(violations(history)).toEqual([]);
      expect(history.every(({ valid }) => valid)).toBe(true);
      expect(new Set(history.map(({ key }) => key)).size).toBe(keys.length);

      for (const [index, key] of keys.entries()) {
        await scene.move(key);
        const [from, to] = [services[index % SERVICES]!, services[(index + 1) % SERVICES]!];
        await scene.handOff(key, from, to);
      }
    },
  );

  it('tells a waiter that stood there before the move', async () => {
    const [holder, waiter] = scene.services as [LockService, LockService];
    for (const key of await scene.keys(2)) {
      const lock = await holder.acquire(key);
      const granted = entered(waiter.acquire(key));
      await scene.view.queued(key, 1);
      await scene.move(key);
      // Both know by their heartbeats, or their renewals; the waiter's subscription has followed.
      await eventually('the waiter listens', async () => {
        const { channel } = scene.view.keyspaceOf(key);
        const { admin } = await scene.view.masterOf(key);
        const heard = (await admin.call('PUBSUB', 'SHARDCHANNELS', `${channel}*`)) as string[];
        return heard.length > 0;
      });
      await lock.release();
      const next = await granted;
      expect(next.token).toBeGreaterThan(lock.fencingToken);
      await next.lock.release();
    }
  });

  it.each<LockOptions[]>([
    [{}, {}],
    [{ mode: 'shared' }, {}],
    [{ limit: 2 }, { limit: 2 }],
  ])(
    'grants nothing while a slot is being moved, and renews what is held: %j, then %j',
    async (first, next) => {
      const [holder, waiter] = scene.services as [LockService, LockService];
      const key = `moving: ${JSON.stringify([first, next])}`;
      const locks = [await holder.acquire(key, first)];
      if (first.limit !== undefined) locks.push(await holder.acquire(key, first));
      const waiting = waiter.acquire(key, { ...next, wait: '20s' });
      await scene.view.queued(key, 1);

      await scene.move(key, async (slot, to) => {
        // All keys are still where they were: only what would be created is refused.
        const move = await scene.cluster.beginMove(slot, to);
        for (const lock of locks) await lock.renew();
        const released = locks.pop()!.release();
        await Promise.race([waiting, sleep(2 * HEARTBEAT)]);
        await move.migrate();
        await move.finish();
        await released;
      });

      const granted = await waiting;
      await granted.renew();
      expect(granted.held).toBe(true);
      expect(await granted.release()).toBe('released');
      for (const lock of locks) expect(await lock.release()).toBe('released');
    },
  );

  it('calls a lock in a slot that is half moved neither free nor busy, and keeps it', async () => {
    const [holder, waiter, other] = scene.services as [LockService, LockService, LockService];
    const key = 'half moved';
    const lock = await holder.acquire(key);
    const granted = entered(waiter.acquire(key));
    await scene.view.queued(key, 1);
    const elsewhere = (await scene.keys(1)).find(
      (one) => scene.view.slotOf(one) !== scene.view.slotOf(key),
    )!;

    await scene.move(key, async (slot, to) => {
      const move = await scene.cluster.beginMove(slot, to);
      await move.migrate(1);
      await expect(other.tryAcquire(key)).rejects.toThrow(LockBackendError);
      await (await other.acquire(elsewhere)).release();
      await move.finish();
    });
    expect(lock.held).toBe(true);
    await lock.renew();
    expect(await other.tryAcquire(key)).toBeNull();
    expect(await lock.release()).toBe('released');
    const next = await granted;
    expect(next.token).toBeGreaterThan(lock.fencingToken);
    await next.lock.release();
  });
});

describe("a Cluster that loses a shard's master", () => {
  const scene = new ClusterScene();

  beforeAll(() => scene.build(), 60_000);

  afterAll(() => scene.end());

  it.each(['kill', 'freeze'] as const)(
    'goes on with the other shards at once, and with that one after the failover: %s',
    async (fault) => {
      const { cluster } = scene;
      const store = scene.client((await scene.redis()).url);
      const keys = await scene.keys(3);
      const victim = await scene.view.masterOf(keys[0]!);
      const places = await Promise.all(keys.map((key) => scene.view.masterOf(key)));
      const dead = new Set(keys.filter((_, index) => places[index] === victim));
      const accepted = new Map(keys.map((key) => [key, [] as number[]]));
      let failed = 0;
      let over = 0;

      const history = await scene.visits(
        keys,
        async () => {
          await sleep(500);
          failed = machineTime();
          await victim[fault]();
          await cluster.failedOver(victim);
          over = machineTime();
          // It comes back, and is told that others serve now.
          if (fault === 'kill') await victim.relaunch();
          else victim.thaw();
          // Long enough for whoever waits for a reply of the dead one.
          await sleep(PATIENCE);
        },
        async (key, { fencingToken }) => {
          await sleep(STAY);
          const written = await new FencedResource(store, key).write(fencingToken);
          if (written) accepted.get(key)!.push(fencingToken);
        },
        (error) => {
          // Everybody is served, though some may lose again what they got.
          if (!(error instanceof LockLostError)) throw error;
        },
      );

      const [others, theirs] = [
        history.filter(({ key }) => !dead.has(key)),
        history.filter(({ key }) => dead.has(key)),
      ];
      const meanwhile = others.filter(({ enter }) => enter > failed && enter < over);
      expect(new Set(meanwhile.map(({ key }) => key))).toEqual(
        new Set(keys.filter((key) => !dead.has(key))),
      );
      expect(new Set(theirs.filter(({ enter }) => enter > over).map(({ key }) => key))).toEqual(
        dead,
      );
      // Two that believe in their locks at once there may be, but never two tokens out of order.
      expect(violations(history).filter((words) => words.includes('no greater token'))).toEqual([]);
      for (const tokens of accepted.values()) {
        expect(tokens).toEqual([...tokens].sort((one, other) => one - other));
      }
      await cluster.settled();
    },
  );
});

describe('locks of a shard that is lost', () => {
  const scene = new ClusterScene();

  beforeAll(() => scene.build(), 60_000);

  afterAll(() => scene.end());

  /** Holds so many keys of each shard. */
  async function hold(each: number, ttl: number): Promise<Map<ClusterNode, Lock[]>> {
    const masters = await scene.cluster.masters();
    const held = masters.map(async (master) => {
      const keys = await scene.view.keysOf(master, each);
      const locks = keys.map((key) => scene.services[0]!.acquire(key, { ttl }));
      return [master, await Promise.all(locks)] as const;
    });
    return new Map(await Promise.all(held));
  }

  async function release(locks: readonly Lock[]): Promise<string[]> {
    return Promise.all(locks.map((lock) => lock.release()));
  }

  it('survive a failover that is quicker than their ttl, and so do the others', async () => {
    const held = await hold(20, 12_000);
    const [[victim, theirs] = []] = held;
    await victim!.kill();
    // The backend says of each lease on its own how it stands.
    const renewals = await Promise.allSettled(
      [...held].map(([, locks]) => Promise.all(locks.map((lock) => lock.renew()))),
    );
    expect(renewals.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect((renewals[0] as PromiseRejectedResult).reason).toBeInstanceOf(LockBackendError);
    expect(theirs!.every(({ held }) => held)).toBe(true);

    await scene.cluster.failedOver(victim!);
    await eventually('renewals of all', async () => {
      const all = await Promise.allSettled(theirs!.map((lock) => lock.renew()));
      return all.every(({ status }) => status === 'fulfilled');
    });
    const outcomes = await release([...held.values()].flat());
    expect(outcomes).toEqual(Array.from({ length: 60 }, () => 'released'));
    await victim!.relaunch();
    await scene.cluster.settled();
  });

  it('are reported as lost when the heir never heard of them, and their tokens go on rising', async () => {
    const { cluster, services, view } = scene;
    const [key] = await scene.keys(1);
    const victim = await view.masterOf(key!);
    const [heir] = await cluster.replicasOf(victim);
    // So that what is granted now stays with the master alone.
    heir!.freeze();
    await victim.admin.call('CLIENT', 'KILL', 'TYPE', 'replica');
    const lock = await services[0]!.acquire(key!, { ttl: 9_000 });
    const told = lost(lock);
    await victim.kill();
    heir!.thaw();
    await cluster.failedOver(victim);

    const next = await services[1]!.acquire(key!);
    expect(next.fencingToken).toBeGreaterThan(lock.fencingToken);
    expect(await told).toMatchObject({ reason: { reason: 'stolen' } });
    expect(lock.held).toBe(false);
    await next.release();
    await victim.relaunch();
    await cluster.settled();
  });

  it('are lost, and no others, when none of its nodes is left', async () => {
    const { cluster } = scene;
    const masters = await cluster.masters();
    let replicas: ClusterNode[][] = [];
    await eventually('each master has its replica', async () => {
      replicas = await Promise.all(masters.map((master) => cluster.replicasOf(master)));
      return replicas.every(({ length }) => length === 1);
    });
    const held = await hold(5, 6_000);
    const [[victim, theirs] = [], ...others] = held;
    await Promise.all([victim!, ...replicas[0]!].map((node) => node.kill()));
    const reasons = await Promise.all(theirs!.map((lock) => lost(lock)));
    for (const { reason } of reasons) expect(reason).toMatchObject({ reason: 'backend' });
    // Who waits is told what is so of the key, whatever becomes of others.
    const [busy] = others.flatMap(([, locks]) => locks);
    const waiting = [busy!.key, busy!.key, theirs![0]!.key, theirs![1]!.key].map((key) =>
      scene.services[1]!.acquire(key, { wait: 1_500 }),
    );
    expect(await Promise.allSettled(waiting)).toMatchObject([
      { reason: { name: 'LockTimeoutError' } },
      { reason: { name: 'LockTimeoutError' } },
      { reason: { name: 'LockBackendError' } },
      { reason: { name: 'LockBackendError' } },
    ]);
    for (const [, locks] of others) {
      expect(locks.every(({ held }) => held)).toBe(true);
      expect(await release(locks)).toEqual(locks.map(() => 'released'));
    }
    const [key] = theirs!.map(({ key }) => key);
    await expect(scene.services[1]!.acquire(key!, { wait: 500 })).rejects.toThrow(LockBackendError);
  });
});
