import { setTimeout as sleep } from 'node:timers/promises';
import type { Lock, LockOptions, LockService } from 'nestjs-lock';
import { EtcdProxy } from '../support/etcd-proxy.js';
import { EtcdScene } from '../support/etcd-scene.js';
import type { EtcdView } from '../support/etcd-view.js';
import type { EtcdMember } from '../support/etcd-cluster.js';

// What a watch tells may be older than what was read, or be told of another key: who waits is let in by
// what is read, and by nothing that is heard.

const ROUNDS = 2;

/** How long who is not to be let in is watched not to be: nothing tells of what does not happen. */
const QUIET = 200;

/** Holders of a key, and one more that has to wait for one of them. */
const cases: [string, holders: LockOptions[], waiter: LockOptions][] = [
  ['a reader', [{}], { mode: 'shared' }],
  ['a writer', [{ mode: 'shared' }], {}],
  ['one more than the limit', [{ limit: 2 }, { limit: 2 }], { limit: 2 }],
];

/** What has been granted by now. */
function watched(waiting: Promise<Lock>): { granted: Lock | undefined } {
  const seen: { granted: Lock | undefined } = { granted: undefined };
  waiting.then(
    (lock) => (seen.granted = lock),
    () => undefined,
  );
  return seen;
}

describe('at a member that lags behind', () => {
  const scene = new EtcdScene();
  let follower: EtcdMember;
  let holders: LockService[];
  let waiter: LockService;
  let view: EtcdView;

  beforeAll(async () => {
    const cluster = await scene.cluster();
    const leader = await cluster.leader();
    follower = cluster.members.find((member) => member !== leader)!;
    view = scene.view(leader.url);
    holders = [1, 2].map(() => scene.service({ hosts: leader.url }, { ttl: '10s', wait: '20s' }));
    // Its calls are at the leader, and its watch at the follower: as chance has it with several hosts.
    const client = scene.client(leader.url);
    Object.assign(client, { watchClient: scene.client(follower.url).watchClient });
    waiter = scene.service({ client }, { ttl: '10s', wait: '20s' });
    // Its watch is open from here on: it is a reader that waits behind a reader behind a writer.
    const [holding, next] = [await holders[0]!.acquire('warm'), waiter.acquire('warm')];
    await view.queued('warm', 1);
    await holding.release();
    await (await next).release();
  });

  afterAll(() => scene.end());

  it.each(cases)('nobody is let in by an old event: %s', async (name, options, wish) => {
    for (let round = 0; round < ROUNDS; round++) {
      const held = await Promise.all(
        options.map((option, index) => holders[index]!.acquire(name, option)),
      );
      follower.process.freeze();
      // The last of them leaves and comes again, under the same name.
      const last = held.pop()!;
      await last.release();
      held.push(await holders[held.length]!.acquire(name, options.at(-1)));
      const waiting = waiter.acquire(name, wish);
      const seen = watched(waiting);
      await view.queued(name, options.length);
      follower.process.thaw();
      await scene.client(follower.url).get('k'); // it has caught up
      await sleep(QUIET);

      expect(held.every((lock) => lock.held)).toBe(true);
      expect(seen.granted).toBeUndefined();
      await Promise.all(held.map((lock) => lock.release()));
      await (await waiting).release();
    }
  });
});

describe('behind etcd grpc-proxy', () => {
  const scene = new EtcdScene();
  let proxy: EtcdProxy;
  let view: EtcdView;
  let holders: LockService[];
  let waiter: LockService;

  beforeAll(async () => {
    const server = await scene.server();
    proxy = await EtcdProxy.start(server.url);
    view = scene.view(server.url);
    const open = () => scene.service({ hosts: proxy.url }, { ttl: '10s', wait: '20s' });
    [holders, waiter] = [[open(), open()], open()];
  });

  afterAll(async () => {
    await scene.end();
    await proxy.stop();
  });

  it.each(cases)(
    'nobody is let in by the event of another key: %s',
    async (name, options, wish) => {
      for (let round = 0; round < ROUNDS; round++) {
        const held = await Promise.all(
          options.map((option, index) => holders[index]!.acquire(name, option)),
        );
        const waiting = waiter.acquire(name, wish);
        const seen = watched(waiting);
        await view.queued(name, options.length);
        // Others come and go, on watches of the same process.
        for (const key of ['other', 'another']) {
          const other = await holders[0]!.acquire(key);
          const next = waiter.acquire(key);
          await view.queued(key, 1);
          await other.release();
          await (await next).release();
        }
        await sleep(QUIET);

        expect(held.every((lock) => lock.held)).toBe(true);
        expect(seen.granted).toBeUndefined();
        await Promise.all(held.map((lock) => lock.release()));
        await (await waiting).release();
      }
    },
  );
});
