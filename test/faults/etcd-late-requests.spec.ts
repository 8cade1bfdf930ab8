import { setTimeout as sleep } from 'node:timers/promises';
import { type LockOptions, type LockService, LockTimeoutError } from 'nestjs-lock';
import { acquires, EtcdCourier, withdraws } from '../support/etcd-courier.js';
import { EtcdScene } from '../support/etcd-scene.js';
import type { EtcdServer } from '../support/etcd-server.js';
import type { EtcdView } from '../support/etcd-view.js';

/** Longer than the session of those who wait is kept open when nobody waits, in milliseconds. */
const UNUSED = 5_500;

// Requests whose reply is lost, and which the server carries out when nobody wants them any more.
describe('late requests', () => {
  const scene = new EtcdScene();
  let server: EtcdServer;
  let view: EtcdView;
  let other: LockService;

  beforeAll(async () => {
    server = await scene.server();
    view = scene.view(server.url);
    other = scene.service({ hosts: server.url });
  });

  afterAll(() => scene.end());

  /** A service that has a session already, and what carries its transactions. */
  async function remote(commandTimeout = 2_000) {
    const client = scene.client(server.url);
    const courier = new EtcdCourier(client);
    const service = scene.service({ client, commandTimeout });
    const held = await other.acquire('warm');
    const waiting = service.acquire('warm');
    await view.queued('warm', 1);
    await held.release();
    await (await waiting).release();
    return { courier, service };
  }

  it('an acquire that was given up takes nothing', async () => {
    const { courier, service } = await remote();
    const giveUp = new AbortController();
    courier.carry = () => new Promise(() => undefined);
    const stray = courier.stray(acquires);
    const refused = service.acquire('k', { signal: giveUp.signal });
    const send = await stray;
    giveUp.abort(new Error('given up'));
    await expect(refused).rejects.toThrow('given up');
    await service.inspect('k');
    await send();
    expect(await view.members('k')).toEqual([]);
    await service.withLock('k', () => undefined);
  });

  it('an acquire that was sent again is granted once, and is not carried out after its release', async () => {
    const { courier, service } = await remote();
    const stray = courier.stray(acquires);
    const lock = await service.acquire('k');
    const send = await stray;
    await send();
    expect(await view.members('k')).toHaveLength(1);
    expect((await service.inspect('k')).holders[0]!.fencingToken).toBe(lock.fencingToken);
    expect(await lock.release()).toBe('released');
    await send();
    expect(await view.members('k')).toEqual([]);
    await (await other.acquire('k', { wait: 0 })).release();
  });

  it('an acquire that was carried out without a reply has the same grant', async () => {
    const { courier, service } = await remote();
    courier.carry = async (carried) => {
      courier.carry = ({ send }) => send();
      await carried.send();
      return new Promise(() => undefined);
    };
    const lock = await service.acquire('k');
    const [member] = await view.members('k');
    expect(Number(member!.created)).toBe(lock.fencingToken);
    expect(await lock.release()).toBe('released');
  });

  it('a try that was told busy takes nothing later', async () => {
    const { courier, service } = await remote();
    const held = await other.acquire('k');
    const stray = courier.stray(acquires);
    await expect(service.acquire('k', { wait: 0 })).rejects.toThrow(LockTimeoutError);
    const send = await stray;
    // Its withdrawal goes before this, on the same connection.
    await service.inspect('k');
    await held.release();
    await send();
    expect(await view.members('k')).toEqual([]);
  });

  it('who left the queue does not come back to it', async () => {
    const { courier, service } = await remote();
    const held = await other.acquire('k');
    const leaving = new AbortController();
    const stray = courier.stray(acquires);
    const refused = service.acquire('k', { signal: leaving.signal });
    const send = await stray;
    await view.queued('k', 1);
    leaving.abort(new Error('left'));
    await expect(refused).rejects.toThrow('left');
    await view.queued('k', 0);
    await send();
    await view.queued('k', 0);
    await held.release();
    await send();
    expect(await view.members('k')).toEqual([]);
  });

  it('who joins a queue keeps its place, however late the reply and the last one who waited', async () => {
    const { courier, service } = await remote(2 * UNUSED);
    const held = await other.acquire('k');
    let joined!: () => void;
    const there = new Promise<void>((resolve) => (joined = resolve));
    const late = there.then(() => sleep(UNUSED));
    courier.carry = async ({ send }) => {
      const reply = await send();
      if ((await view.members('k')).length === 1) return reply;
      courier.carry = (carried) => carried.send();
      joined();
      await late;
      return reply;
    };
    const first = service.acquire('k');
    await there;
    const second = other.acquire('k');
    await view.queued('k', 2);
    await late;
    await held.release();
    const next = await Promise.race([first, second]);
    await next.release();
    const last = await second;
    expect(last.fencingToken).toBeGreaterThan(next.fencingToken);
    await last.release();
  });

  it('a grant in the queue whose reply is lost is found, with one token', async () => {
    const { courier, service } = await remote();
    const held = await other.acquire('k');
    const waiting = service.acquire('k');
    await view.queued('k', 1);
    courier.carry = async (carried) => {
      courier.carry = ({ send }) => send();
      await carried.send();
      return new Promise(() => undefined);
    };
    await held.release();
    const lock = await waiting;
    expect(lock.fencingToken).toBeGreaterThan(held.fencingToken);
    expect((await other.inspect('k')).holders[0]!.fencingToken).toBe(lock.fencingToken);
    expect(await lock.release()).toBe('released');
  });

  it('a grant in the queue that is carried out twice has one token', async () => {
    const { courier, service } = await remote();
    const held = await other.acquire('k');
    const waiting = service.acquire('k');
    await view.queued('k', 1);
    const stray = courier.stray(acquires);
    await held.release();
    const lock = await waiting;
    await (
      await stray
    )();
    expect((await other.inspect('k')).holders[0]!.fencingToken).toBe(lock.fencingToken);
    await lock.renew();
    expect(lock.held).toBe(true);
    expect(await lock.release()).toBe('released');
  });

  it('a move to another ttl that is carried out late harms nothing', async () => {
    const { courier, service } = await remote();
    const lock = await service.acquire('k', { ttl: '2s', renew: false });
    await service.withLock('other', { ttl: '20s' }, () => undefined);
    const stray = courier.stray(acquires);
    await expect(lock.renew('10s')).rejects.toThrow('could not be renewed');
    const send = await stray;
    await lock.renew('20s');
    const [before] = await view.members('k');
    await send();
    const [after] = await view.members('k');
    expect(after).toEqual(before);
    await lock.renew();
    expect((await service.inspect('k')).holders[0]!.fencingToken).toBe(lock.fencingToken);
    expect(await lock.release()).toBe('released');
  });

  it('a move to another ttl arrives, though nobody has used that one for long', async () => {
    const { courier, service } = await remote(2 * UNUSED);
    await service.withLock('other', { ttl: '4s' }, () => undefined);
    await sleep(3_800);
    const lock = await service.acquire('k', { ttl: '3s', renew: false });
    courier.carry = async ({ send }) => {
      const reply = await send();
      // By then a session that nobody uses has ended.
      await sleep(1_800);
      return reply;
    };
    await lock.renew('4s');
    courier.carry = ({ send }) => send();
    expect(lock.held).toBe(true);
    expect(await lock.release()).toBe('released');
  });

  it('a move to another ttl whose reply is lost is found', async () => {
    const { courier, service } = await remote();
    const lock = await service.acquire('k', { ttl: '2s', renew: false });
    courier.carry = async (carried) => {
      courier.carry = ({ send }) => send();
      await carried.send();
      throw new Error('etcdserver: leader changed');
    };
    await expect(lock.renew('1m')).rejects.toThrow('could not be renewed');
    expect(lock.held).toBe(true);
    await lock.renew('1m');
    expect(lock.remaining).toBeGreaterThan(49_000);
    expect(await lock.release()).toBe('released');
    await view.untouched('k');
  });

  it('a release whose reply is lost counts, and touches no later lock', async () => {
    const { courier, service } = await remote();
    const lock = await service.acquire('k');
    const stray = courier.stray(withdraws);
    expect(await lock.release()).toBe('released');
    const next = await other.acquire('k');
    await (
      await stray
    )();
    await next.renew();
    expect(next.held).toBe(true);
    expect(await next.release()).toBe('released');
  });

  it.each<[string, LockOptions]>([
    ['a reader', { mode: 'shared' }],
    ['a permit', { limit: 3 }],
  ])(
    '%s beside others is granted once, and does not come back after its release',
    async (_, how) => {
      const { courier, service } = await remote();
      const beside = await other.acquire('k', how);
      const stray = courier.stray(acquires);
      const lock = await service.acquire('k', how);
      const send = await stray;
      await send();
      const { holders } = await service.inspect('k');
      expect(holders.map(({ fencingToken }) => fencingToken)).toEqual(
        [beside, lock].map(({ fencingToken }) => fencingToken),
      );
      expect(await lock.release()).toBe('released');
      await send();
      expect(await view.members('k')).toHaveLength(1);
      expect(await beside.release()).toBe('released');
    },
  );

  it('a downgrade whose reply is lost is not undone, and done again it is one', async () => {
    const { courier, service } = await remote();
    const lock = await service.acquire('k', { ttl: '2s', renew: false });
    const reading = other.acquire('k', { mode: 'shared' });
    await view.queued('k', 1);
    courier.carry = async (carried) => {
      courier.carry = ({ send }) => send();
      await carried.send();
      throw new Error('etcdserver: leader changed');
    };
    await expect(lock.downgrade()).rejects.toThrow('could not be downgraded');
    const reader = await reading;
    // Moved to another lease, it is a reader still.
    await lock.renew('10s');
    await lock.downgrade();
    expect((await other.inspect('k')).holders).toMatchObject([
      { mode: 'shared', fencingToken: lock.fencingToken },
      { mode: 'shared', fencingToken: reader.fencingToken },
    ]);
    for (const one of [lock, reader]) expect(await one.release()).toBe('released');
  });

  it('a downgrade that is carried out late harms nothing', async () => {
    const { courier, service } = await remote();
    const lock = await service.acquire('k', { ttl: '2s', renew: false });
    const stray = courier.stray(acquires);
    await expect(lock.downgrade()).rejects.toThrow('could not be downgraded');
    const send = await stray;
    await lock.renew('20s');
    const [before] = await view.members('k');
    await send();
    expect(await view.members('k')).toEqual([before]);
    expect(await lock.release()).toBe('released');
    await send();
    expect(await view.members('k')).toEqual([]);
  });

  it('a key is kept as long as it should be, also when the reply is lost, and no longer when it comes late', async () => {
    const { courier, service } = await remote();
    const begun = performance.now();
    const lock = await service.acquire('k', { minHold: 1_500 });
    let again!: () => Promise<unknown>;
    courier.carry = async ({ send }) => {
      courier.carry = (carried) => carried.send();
      again = send;
      await send();
      throw new Error('etcdserver: leader changed');
    };
    expect(await lock.release()).toBe('released');
    expect(await other.tryAcquire('k')).toBeNull();
    const next = await other.acquire('k');
    expect(performance.now() - begun).toBeGreaterThanOrEqual(1_495);
    // Its lease has ended as well.
    await expect(again()).resolves.toMatchObject({ succeeded: false });
    expect(await view.members('k')).toHaveLength(1);
    expect(await next.release()).toBe('released');
  });
});
