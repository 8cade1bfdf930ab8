import { setTimeout as sleep } from 'node:timers/promises';
import { LockBackendError, type LockService } from 'nestjs-lock';
import { redlockScripts } from '../../lib/backends/redlock/redlock-scripts.js';
import { eventually } from '../support/eventually.js';
import { entered, lost, machineTime, violations, visit, type Visit } from '../support/history.js';
import { inAnHour, keyspace, type QuorumNode, startQuorum } from '../support/quorum.js';
import { Scene } from '../support/scene.js';

/** How often waiters look by themselves, and how long they live without a look, in milliseconds. */
const [HEARTBEAT, LIVENESS] = [1_000, 3_500];

/** How often a node is wiped at least, and for how long a lock is held meanwhile, in milliseconds. */
const [WIPES, STAY] = [3, 15];

/** Between two tries of a request that failed, in milliseconds. */
const LONGEST_PAUSE = 250;

describe('a quorum of Redis nodes', () => {
  const scene = new Scene();

  afterAll(() => scene.end());

  describe('of which one', () => {
    it.concurrent.each<[string, (node: QuorumNode) => unknown, (node: QuorumNode) => unknown]>([
      ['is down', ({ server }) => server.kill(), () => undefined],
      ['is frozen', ({ server }) => server.freeze(), ({ server }) => server.thaw()],
      [
        'is slow',
        ({ network }) => {
          network.delay('replies', 2_000);
        },
        ({ network }) => network.restore(),
      ],
      ['is cut off', ({ network }) => network.refuse(), ({ network }) => network.admit()],
    ])('%s: everything goes on', async (_, befall, mend) => {
      const { nodes, service } = await startQuorum(scene);
      const services = [service(), service()];
      for (const one of services) await one.withLock('warm up', () => undefined);
      await befall(nodes[2]);
      const history: Visit[] = [];
      const work = async (one: LockService) => {
        for (let turn = 0; turn < 10; turn++) {
          const { lock, ...entry } = await entered(one.acquire('k'));
          expect(lock.held).toBe(true);
          history.push(visit('k', entry));
          expect(await lock.release()).toBe('released');
        }
      };
      await Promise.all(services.map(work));
      expect(await services[0]!.tryAcquire('other')).not.toBeNull();
      expect(await services[1]!.tryAcquire('other')).toBeNull();
      expect(violations(history)).toEqual([]);
      expect(history).toHaveLength(20);
      // A process that comes now.
      const late = service();
      await late.withLock('late', () => undefined);
      await mend(nodes[2]);
    });
  });

  it.concurrent('that is split: settles, and keeps no vote that came to nothing', async () => {
    const { nodes, service } = await startQuorum(scene);
    const [one, other, dead] = nodes;
    const locks = service();
    await locks.withLock('warm up', () => undefined);
    await dead.server.kill();
    await other.give('k', 'another:1', 60_000);

    const error: unknown = await locks.tryAcquire('k').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LockBackendError);
    await eventually('the vote is free', async () => (await one.holder('k')) === undefined);

    const waiting = machineTime();
    await expect(locks.acquire('k', { wait: 1_000 })).rejects.toMatchObject({ key: 'k' });
    expect(machineTime() - waiting).toBeGreaterThan(990);
    await eventually('nothing is left', async () => (await one.waiters('k')).length === 0);
    expect([await one.holder('k'), await other.holder('k')]).toEqual([undefined, 'another:1']);
    expect(await other.waiters('k')).toEqual([]);

    const granted = entered(locks.acquire('k'));
    await eventually('it waits', async () => (await other.waiters('k')).length === 1);
    await other.take('k');
    expect((await granted).lock.held).toBe(true);
    await (await granted).lock.release();
  });

  it.concurrent(
    'of which most are down: that is said in time, told to holders, and mended by their return',
    async () => {
      const ttl = 1_500;
      const { nodes, service } = await startQuorum(scene);
      const locks = service({ ttl });
      const { lock } = await entered(locks.acquire('k'));
      const loss = lost(lock);
      await Promise.all(nodes.slice(1).map(({ server }) => server.kill()));
      await expect(locks.acquire('other', { wait: 600 })).rejects.toThrow(LockBackendError);
      await expect(locks.tryAcquire('other')).rejects.toThrow(LockBackendError);
      expect((await loss).reason).toMatchObject({ reason: 'backend' });

      const waiting = entered(locks.acquire('other'));
      await Promise.all(nodes.slice(1).map(({ server }) => server.launch()));
      const next = await waiting;
      await next.lock.release();
    },
  );

  it.concurrent(
    'of which one was wiped under a lock: it has no vote until that must be over',
    async () => {
      const ttl = 2_000;
      const { nodes, service } = await startQuorum(scene);
      const [, wiped, away] = nodes;
      const [holder, other] = [service({ ttl }), service({ ttl })];
      for (const one of [holder, other]) await one.withLock('warm up', () => undefined);
      await away.network.refuse();
      const first = await entered(holder.acquire('k', { renew: false }));
      const until = machineTime() + first.lock.remaining;
      await wiped.wipe();
      const back = machineTime();
      await away.network.admit();

      // The two nodes that know nothing of the holder would make a majority.
      const fresh = service({ ttl });
      const granted = [other, fresh].map((one) => entered(one.acquire('k')));
      await eventually('entered', async () => (await wiped.quarantine()) !== undefined);
      const second = await Promise.race(granted);
      expect(second.at).toBeGreaterThan(until);
      expect(second.token).toBeGreaterThan(first.token);
      const leave = machineTime();
      await second.lock.release();
      const third = (await Promise.all(granted)).find(({ token }) => token !== second.token)!;
      await third.lock.release();
      expect(
        violations([visit('k', first, until), visit('k', second, leave), visit('k', third)]),
      ).toEqual([]);
      // It votes again.
      await eventually('its vote', async () => {
        const lock = await other.acquire('vote');
        const voted = (await wiped.holder('vote')) !== undefined;
        await lock.release();
        return voted;
      });
      expect(machineTime() - back).toBeGreaterThan(ttl - 500);
    },
  );

  it.concurrent(
    'of which one was wiped: the holder goes on, and puts its lease there again',
    async () => {
      const ttl = 1_500;
      const { nodes, service } = await startQuorum(scene);
      const [, wiped] = nodes;
      const [holder, next] = [service({ ttl }), service({ ttl })];
      const first = await entered(holder.acquire('k'));
      const id = await nodes[0].holder('k');
      const granted = entered(next.acquire('k'));
      await eventually('it waits', async () => (await wiped.waiters('k')).length === 1);
      await wiped.wipe();
      const back = machineTime();
      await eventually('the lease is there', async () => (await wiped.holder('k')) === id);
      await eventually('two ttl', () => machineTime() > back + 2 * ttl);
      expect(first.lock).toMatchObject({ held: true, signal: { aborted: false } });
      const left = machineTime();
      expect(await first.lock.release()).toBe('released');
      const second = await granted;
      await second.lock.release();
      expect(violations([visit('k', first, left), visit('k', second)])).toEqual([]);
    },
  );

  it.concurrent(
    'of which one was wiped, where a second one never had the lease: the holder goes on as well',
    async () => {
      const ttl = 3_000;
      const { nodes, service } = await startQuorum(scene);
      const [, wiped, away] = nodes;
      const [holder, other] = [service({ ttl }), service({ ttl })];
      for (const one of [holder, other]) await one.withLock('warm up', () => undefined);
      await away.network.refuse();
      const { lock } = await entered(holder.acquire('k'));
      const brief = await holder.acquire('brief', { renew: false });
      const id = await wiped.holder('k');
      await wiped.wipe();
      const back = machineTime();
      await away.network.admit();
      await eventually('entered', async () => (await wiped.quarantine()) !== undefined);
      expect(await brief.release()).toBe('released');
      await eventually('the lease is there', async () => (await wiped.holder('k')) === id);
      await eventually('two ttl', () => machineTime() > back + 2 * ttl);
      expect(lock).toMatchObject({ held: true, signal: { aborted: false } });
      expect(await other.tryAcquire('k')).toBeNull();
      expect(await lock.release()).toBe('released');
    },
  );

  it.concurrent('of which one was wiped: those who wait keep their places', async () => {
    const { nodes, service } = await startQuorum(scene);
    const [one, wiped, other] = nodes;
    const { lock } = await entered(service().acquire('k'));
    const waiting = [];
    for (const count of [1, 2]) {
      waiting.push(entered(service().acquire('k')));
      await eventually('it waits', async () => {
        const queues = await Promise.all(nodes.map((node) => node.waiters('k')));
        return queues.every((queue) => queue.length === count);
      });
    }
    const places = await one.places('k');
    await wiped.wipe();
    await eventually('they wait', async () => (await wiped.waiters('k')).length === 2);
    for (const node of [one, wiped, other]) expect(await node.places('k')).toEqual(places);
    await lock.release();
    const [first, second] = waiting.map(async (granted) => {
      const { lock, token } = await granted;
      await lock.release();
      return token;
    });
    expect(await first).toBeLessThan(await second!);
  });

  it.concurrent(
    'of which one was wiped, and takes long to be entered: the others do not wait for it',
    async () => {
      const { nodes, service } = await startQuorum(scene, { commandTimeout: '6s' });
      const [, wiped, away] = nodes;
      const locks = service({ ttl: 1_000 });
      await locks.withLock('warm up', () => undefined);
      await away.network.refuse();
      await wiped.wipe();
      const granted = entered(locks.acquire('k'));
      await eventually('connected again', async () => {
        return /^.* sub=1 /m.test(String(await wiped.admin.client('LIST')));
      });
      // By now it is asked.
      await sleep(2 * LONGEST_PAUSE);
      await away.network.admit();
      const { lock } = await granted;
      expect(lock.held).toBe(true);
      await lock.release();
    },
  );

  it.concurrent(
    'of which one does not know a script: a vote that comes after the release is taken back',
    async () => {
      const { nodes, service, untouched } = await startQuorum(scene, { commandTimeout: '6s' });
      const [, , odd] = nodes;
      const locks = service({ ttl: 60_000 });
      await locks.withLock('warm up', () => undefined);
      await odd.admin.script('FLUSH');
      await odd.admin.script('LOAD', redlockScripts.leave.source);
      await odd.admin.config('RESETSTAT');
      odd.network.hold('replies');
      const lock = await locks.acquire('k');
      await lock.release();
      odd.network.restore();
      await eventually('it has the script', async () => {
        return /^cmdstat_eval:/m.test(await odd.admin.info('commandstats'));
      });
      await untouched('k');
      expect(await locks.inspect('k')).toMatchObject({ holders: [], waiters: 0 });
    },
  );

  it.concurrent(
    'of which the one with the greatest token was wiped: it does not vote with less than the others had',
    async () => {
      const ttl = 1_500;
      const { nodes, service } = await startQuorum(scene);
      const [one, wiped, away] = nodes;
      const locks = service({ ttl });
      await locks.withLock('k', () => undefined);
      // As after a process whose clock was an hour ahead.
      const ahead = inAnHour();
      for (const { admin } of [one, wiped]) await admin.set(keyspace.sequence, ahead);
      await away.network.refuse();
      const { fencingToken: before } = await locks.acquire('k', { renew: false });
      expect(before).toBeGreaterThan(ahead);
      await wiped.wipe();
      await eventually('it may vote again', async () => (await wiped.quarantine()) === 0);
      await away.network.admit();
      await one.network.refuse();
      // It knows no token.
      const { lock, token } = await entered(service({ ttl }).acquire('k'));
      expect(token).toBeGreaterThan(before);
      await lock.release();
    },
  );

  it.concurrent(
    'of which most forgot or are away: nothing is called busy that nobody holds',
    async () => {
      const ttl = 3_000;
      const { nodes, service } = await startQuorum(scene);
      const locks = service({ ttl });
      await locks.withLock('warm up', () => undefined);
      await nodes[1].wipe();
      await nodes[2].network.refuse();
      await eventually('entered', async () => (await nodes[1].quarantine()) !== undefined);
      const error: unknown = await locks.acquire('k', { wait: 500 }).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(LockBackendError);
      expect(String(error)).toMatch(/only 1 of 3 nodes can vote: /);
    },
  );

  it.concurrent(
    'of which one has something else in its place: only a majority of those is an error',
    async () => {
      const { nodes, service } = await startQuorum(scene);
      const [odd, held, free] = nodes;
      const locks = service();
      const [name] = keyspace.of('k');
      await odd.admin.rpush(name, 'a list');
      await locks.withLock('k', () => undefined);
      await held.give('k', 'another:1', 60_000);
      await free.network.refuse();
      const granted = entered(locks.acquire('k'));
      await eventually('it waits', async () => (await held.waiters('k')).length === 1);
      await free.network.admit();
      await held.admin.del(name);
      await (await granted).lock.release();
      await eventually('released', async () => (await free.holder('k')) === undefined);
      await free.admin.rpush(name, 'a list');
      await expect(locks.acquire('k')).rejects.toThrow(/WRONGTYPE.*another namespace/);
    },
  );

  it.concurrent(
    'of which one is slow: those who wait are heard of, and look, in time',
    async () => {
      const ttl = 1_500;
      const { nodes, service } = await startQuorum(scene, { commandTimeout: '6s' });
      const [holder, waiter] = [service({ ttl }), service({ ttl })];
      for (const one of [holder, waiter]) await one.withLock('warm up', () => undefined);
      nodes[2].network.hold('replies');
      const { lock } = await entered(holder.acquire('k'));
      const granted = entered(waiter.acquire('k'));
      await eventually('it waits', async () => (await nodes[0].waiters('k')).length === 1);
      const [id] = await nodes[0].waiters('k');
      const start = machineTime();
      let gone = 0;
      await eventually('longer than a waiter lives without a sign', async () => {
        if ((await nodes[0].admin.zscore(keyspace.of('k')[1], id!)) === null) gone++;
        return machineTime() > start + LIVENESS + HEARTBEAT;
      });
      expect(gone).toBe(0);
      await lock.release();
      expect((await granted).token).toBeGreaterThan(lock.fencingToken);
      nodes[2].network.restore();
      await (await granted).lock.release();
    },
  );

  it.concurrent('that votes after the request was given up: the votes are taken back', async () => {
    const { nodes, service, untouched } = await startQuorum(scene);
    const locks = service();
    await locks.withLock('warm up', () => undefined);
    for (const { network } of nodes) network.hold('requests');
    const abort = new AbortController();
    const given = locks.acquire('k', { ttl: 60_000, signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    const timedOut = locks.acquire('k', { ttl: 60_000, wait: 100 });
    await expect(timedOut).rejects.toThrow(LockBackendError);
    for (const { network } of nodes) network.restore();
    await untouched('k');
    // And the replies only.
    for (const { network } of nodes) network.hold('replies');
    await expect(locks.acquire('k', { ttl: 60_000, wait: 100 })).rejects.toThrow();
    await eventually('the votes', async () => (await nodes[0].holder('k')) !== undefined);
    for (const { network } of nodes) network.restore();
    await untouched('k');
  });

  it.concurrent(
    'with a late answer to an earlier round: the vote of this round stands',
    async () => {
      const { nodes, service } = await startQuorum(scene, { commandTimeout: '6s' });
      const [slow, told, firm] = nodes;
      const [locks, rival] = [service(), service()];
      for (const one of [locks, rival]) await one.withLock('warm up', () => undefined);
      // By counting they are the same at all nodes.
      for (const { admin } of nodes) await admin.set(keyspace.sequence, inAnHour());
      for (const node of [told, firm]) await node.give('k', 'another:1', 60_000);
      slow.network.hold('replies', slow.network.present());
      const granted = entered(locks.acquire('k'));
      await eventually('its vote', async () => (await slow.holder('k')) !== undefined);
      await eventually('it waits', async () => (await told.waiters('k')).length === 1);
      const [id] = await told.waiters('k');
      await told.take('k');
      await told.admin.publish(keyspace.channel + id!.split(':', 1).join(), `free ${id}`);
      await eventually('the next vote', async () => (await told.holder('k')) === id);
      slow.network.restore();
      const { lock } = await granted;
      // Passes along the same ways, after all that was sent for the first.
      await locks.inspect('k');
      expect(await slow.holder('k')).toBe(id);
      await firm.take('k');
      expect(await rival.tryAcquire('k')).toBeNull();
      await lock.release();
    },
  );

  // Alone, after all the others: it takes what the machine has.
  it.each([
    [3, 700],
    [5, 400],
  ])(
    'of %d that are wiped one by one: one holder at a time, in %d grants, and tokens that rise',
    async (size, goal) => {
      const ttl = 400;
      const { nodes, service } = await startQuorum(scene, {}, size);
      const services = Array.from({ length: 4 }, () => service({ ttl, wait: 10_000 }));
      const history: Visit[] = [];
      let wipes = 0;
      const enough = () => history.length >= goal && wipes >= WIPES;
      const caller = async (locks: LockService, key: string) => {
        while (!enough()) {
          const granted = await entered(locks.acquire(key)).catch((error: unknown) => {
            // Of so short a ttl a busy machine may leave nothing: then nobody has it.
            if (!String(error).includes('took longer than the ttl')) throw error;
          });
          if (granted === undefined) continue;
          const { lock, ...entry } = granted;
          if (key.startsWith('long')) await sleep(ttl / 2);
          // So that many are held at a wipe, and few are granted in vain between two of them.
          else await sleep(STAY);
          const leave = machineTime();
          history.push(visit(key, entry, leave, lock.held));
          await lock.release();
        }
      };
      const wiper = async () => {
        while (!enough()) {
          // Those that were away know nothing of the last grants, and nor does the one that is wiped
          // then: without a quarantine they would be a majority.
          const [victim, ...others] = [...nodes].sort(() => Math.random() - 0.5) as [QuorumNode];
          const away = others.slice(0, (size - 1) / 2) as QuorumNode[];
          await Promise.all(away.map(({ network }) => network.refuse()));
          const before = history.length;
          await eventually('grants', () => history.length > before + 2 * size);
          await victim.wipe();
          wipes++;
          await Promise.all(away.map(({ network }) => network.admit()));
          await eventually('its vote', async () => (await victim.quarantine()) === 0, 25);
        }
      };
      const wiping = wiper();
      const keys = ['a', 'b', 'c', 'long 1', 'long 2'];
      await Promise.all(services.flatMap((locks) => keys.map((key) => caller(locks, key))));
      await wiping;
      expect(violations(history)).toEqual([]);
      expect(history.length).toBeGreaterThanOrEqual(goal);
      expect(wipes).toBeGreaterThanOrEqual(WIPES);
    },
    240_000,
  );
});
