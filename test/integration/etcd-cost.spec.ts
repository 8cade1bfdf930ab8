import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd3 } from 'etcd3';
import type { Lock, LockService } from 'nestjs-lock';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { EtcdServer } from '../support/etcd-server.js';
import { EtcdView } from '../support/etcd-view.js';
import { eventually } from '../support/eventually.js';
import { openService } from '../support/two-processes.js';

let server: EtcdServer;
let client: Etcd3;
let view: EtcdView;

beforeAll(async () => {
  server = await EtcdServer.start();
  client = server.client();
  view = new EtcdView(client);
});

afterAll(async () => {
  client.close();
  await server.stop();
});

/** A service that has done all that it does once, at the start. */
async function openQuiet(): Promise<LockService> {
  const service = openService(new EtcdBackend({ hosts: server.url }));
  const other = openService(new EtcdBackend({ hosts: server.url }));
  const held = await other.acquire('warm');
  const waiting = service.acquire('warm');
  await view.queued('warm', 1);
  await held.release();
  await (await waiting).release();
  await other.close();
  return service;
}

/** What the server counts: requests by method, and messages on watch streams. */
async function counts(): Promise<Record<string, number>> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const counted = (metric: string, filter: string) =>
    [...text.matchAll(new RegExp(`^${metric}{([^}]*)} (\\d+)`, 'gm'))]
      .filter(([, labels]) => labels!.includes(filter))
      .map(
        ([, labels, count]) => [/grpc_method="(\w+)"/.exec(labels!)![1]!, Number(count)] as const,
      );
  const all: Record<string, number> = {};
  for (const [method, count] of [
    ...counted('grpc_server_handled_total', 'grpc_service="etcdserverpb.KV"'),
    ...counted('grpc_server_msg_received_total', 'grpc_method="Watch"'),
  ]) {
    all[method] = (all[method] ?? 0) + count;
  }
  return all;
}

/** How many requests are sent while this runs; those of keepalives, which are due by time, aside. */
async function costOf(work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await counts();
  await work();
  const after = await counts();
  return Object.fromEntries(
    Object.entries(after)
      .map(([method, count]) => [method, count - (before[method] ?? 0)] as const)
      .filter(([, count]) => count > 0),
  );
}

/** Waits until all watches have begun, of which nothing else is seen. */
async function quiet(): Promise<void> {
  let before = '';
  await eventually('nothing more to come', async () => {
    await sleep(50);
    const { Txn, Range, Watch } = await counts();
    const now = [Txn, Range, Watch].join();
    if (now === before) return true;
    before = now;
    return false;
  });
}

it('an uncontended lock costs one transaction, and its release another', async () => {
  const service = await openQuiet();
  const locks: Lock[] = [];
  const acquiring = await costOf(async () => {
    for (let n = 0; n < 50; n++) locks.push(await service.acquire(`k${n}`));
  });
  const releasing = await costOf(() => Promise.all(locks.map((lock) => lock.release())));
  expect([acquiring, releasing]).toEqual([{ Txn: 50 }, { Txn: 50 }]);
});

it('a lock that is busy costs who tries it one transaction', async () => {
  const [service, other] = [await openQuiet(), await openQuiet()];
  const lock = await service.acquire('busy');
  const trying = await costOf(() => other.tryAcquire('busy'));
  expect(trying).toEqual({ Txn: 1 });
  await lock.release();
});

it('a waiter costs a try, a transaction to queue, a watch, and a transaction to be granted', async () => {
  const [service, other] = [await openQuiet(), await openQuiet()];
  const lock = await service.acquire('awaited');
  let waiting!: Promise<Lock>;
  const queueing = await costOf(async () => {
    waiting = other.acquire('awaited');
    await eventually('a watch', async () => ((await counts()).Watch ?? 0) > 0);
    // Looking on costs a Range each, so it is done by the metrics.
    const txns = (await counts()).Txn;
    await eventually('nothing more to come', async () => (await counts()).Txn === txns);
  });
  let next!: Lock;
  const granting = await costOf(async () => {
    await lock.release();
    next = await waiting;
  });
  expect(queueing).toEqual({ Txn: 2, Watch: 1 });
  // The release and the grant; the end of the watch comes when it comes.
  expect(granting).toMatchObject({ Txn: 2 });
  expect(granting.Range).toBeUndefined();
  await next.release();
});

it('who waits where another of its process stands joins the queue at once', async () => {
  const service = await openQuiet();
  const lock = await service.acquire('mine');
  const giveUp = new AbortController();
  let waiting!: Promise<Lock>;
  const queueing = await costOf(async () => {
    waiting = service.acquire('mine', { signal: giveUp.signal });
    await eventually('a watch', async () => ((await counts()).Watch ?? 0) > 0);
    const txns = (await counts()).Txn;
    await eventually('nothing more to come', async () => (await counts()).Txn === txns);
  });
  expect(queueing).toMatchObject({ Txn: 1 });
  giveUp.abort(new Error('given up'));
  await expect(waiting).rejects.toThrow('given up');
  await lock.release();
});

it('a reader costs one transaction, whether the key is free or others read, and its release another', async () => {
  const [service, other] = [await openQuiet(), await openQuiet()];
  const locks: Lock[] = [];
  const acquiring = await costOf(async () => {
    for (let n = 0; n < 10; n++) {
      for (const one of [service, other]) locks.push(await one.acquire('read', { mode: 'shared' }));
    }
  });
  expect(acquiring).toEqual({ Txn: 20 });
  const trying = await costOf(() => service.tryAcquire('read'));
  const releasing = await costOf(() => Promise.all(locks.map((lock) => lock.release())));
  expect([trying, releasing]).toEqual([{ Txn: 1 }, { Txn: 20 }]);
});

it('a permit costs one transaction, two where others hold some, and one in vain', async () => {
  const [service, other] = [await openQuiet(), await openQuiet()];
  const locks: Lock[] = [];
  const first = await costOf(async () => locks.push(await service.acquire('few', { limit: 3 })));
  const others = await costOf(async () => {
    for (let n = 0; n < 2; n++) locks.push(await other.acquire('few', { limit: 3 }));
  });
  const inVain = await costOf(() => other.tryAcquire('few', { limit: 3 }));
  expect([first, others, inVain]).toEqual([{ Txn: 1 }, { Txn: 4 }, { Txn: 1 }]);
  const releasing = await costOf(() => Promise.all(locks.map((lock) => lock.release())));
  expect(releasing).toEqual({ Txn: 3 });
});

it('a downgrade costs a transaction, and each reader whom it lets in a look and another', async () => {
  const [service, other] = [await openQuiet(), await openQuiet()];
  const lock = await service.acquire('loosened');
  const readers = [1, 2, 3].map(() => other.acquire('loosened', { mode: 'shared' }));
  await view.queued('loosened', 3);
  await quiet();
  const loosening = await costOf(async () => {
    await lock.downgrade();
    await Promise.all(readers);
  });
  expect([loosening.Txn, loosening.Range]).toEqual([7, undefined]);
  await Promise.all([lock, ...(await Promise.all(readers))].map((one) => one.release()));
});

it('who waits for a permit is granted it by a look and a transaction, and costs those behind it one look each', async () => {
  const [service, other] = [await openQuiet(), await openQuiet()];
  const held = [
    await service.acquire('scarce', { limit: 2 }),
    await service.acquire('scarce', { limit: 2 }),
  ];
  const waiting = Array.from({ length: 6 }, () => other.acquire('scarce', { limit: 2 }));
  await view.queued('scarce', 7);
  await quiet();
  const handing = await costOf(async () => {
    await Promise.all(held.map((lock) => lock.release()));
    await Promise.all(waiting.slice(0, 2));
  });
  // Two releases and two grants. The two who are next look at each release, and those behind them, for
  // whom it is now the next ones to leave, read whom they wait for.
  expect(handing.Txn).toBeGreaterThanOrEqual(4);
  expect(handing.Txn).toBeLessThanOrEqual(10);
  expect(handing.Range).toBeUndefined();
  for (const lock of waiting) await (await lock).release();
});

it('five hundred leases are renewed by eight transactions and one keepalive', async () => {
  const service = openService(new EtcdBackend({ hosts: server.url }));
  const locks = await Promise.all(
    Array.from({ length: 500 }, (_, n) => service.acquire(`many ${n}`, { renew: false })),
  );
  const renewing = await costOf(() => Promise.all(locks.map((lock) => lock.renew())));
  expect(renewing).toEqual({ Txn: 8 });
  await Promise.all(locks.map((lock) => lock.release()));
});

it('five thousand keys leave nothing behind', async () => {
  const service = await openQuiet();
  // A marker for the session of the holders, and one for that of the waiters.
  expect(await view.count()).toBe(2);
  const COUNT = 5_000;
  let next = 0;
  const caller = async () => {
    while (next < COUNT) await service.withLock(`order:${next++}`, () => undefined);
  };
  const { Txn, Range } = await costOf(() => Promise.all(Array.from({ length: 50 }, caller)));
  expect([Txn, Range]).toEqual([2 * COUNT, undefined]);
  expect(await view.count()).toBeLessThanOrEqual(2);
  await service.close();
  expect(await view.count()).toBe(0);
  expect(await view.leases()).toEqual([]);
});
