import { LeaderOnly, LockService, type LockStats, MemoryBackend } from 'nestjs-lock';
import { allStats } from '../../lib/telemetry/stats.js';
import { eventually } from '../support/eventually.js';
import { ScriptedBackend } from '../support/scripted-backend.js';

const services: LockService[] = [];

function serve(...[options, name]: ConstructorParameters<typeof LockService>): LockService {
  const service = new LockService({ shutdownGrace: 0, ...options }, name);
  services.push(service);
  return service;
}

afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.close()));
});

const NOTHING = { holds: [], waits: [], leaderships: [], paused: [] };

it('of a service that was not used', () => {
  expect(serve({}, 'billing').stats()).toEqual({
    backend: 'memory',
    instance: 'billing',
    ...NOTHING,
  });
});

it('counts what is held and waited for, by template and mode', async () => {
  const locks = serve();
  const ask = { template: 'order:{id}' };
  const held = await Promise.all([
    ...['order:1', 'order:2', 'order:3'].map((key) => locks.acquire(key, ask)),
    locks.acquire('order:4', { ...ask, mode: 'shared' }),
    locks.acquire(['a', 'b']),
  ]);
  const waiting = [locks.acquire('order:1', ask), locks.acquire('a', { mode: 'shared' })];
  expect(locks.stats()).toEqual<LockStats>({
    backend: 'memory',
    instance: undefined,
    holds: [
      { template: 'order:{id}', mode: 'exclusive', count: 3 },
      { template: 'order:{id}', mode: 'shared', count: 1 },
      { template: undefined, mode: 'exclusive', count: 2 },
    ],
    waits: [
      { template: 'order:{id}', mode: 'exclusive', count: 1 },
      { template: undefined, mode: 'shared', count: 1 },
    ],
    leaderships: [],
    paused: [],
  });
  for (const lock of [...held, ...waiting]) await (await lock).release();
  expect(locks.stats()).toMatchObject(NOTHING);
});

it('counts a lock once, however often its context enters it, and whoever it is handed over to', async () => {
  const locks = serve();
  await locks.withLock('k', { reentrant: true, template: 'first' }, () =>
    locks.withLock('k', { reentrant: true }, async () => {
      expect(locks.stats().holds).toEqual([{ template: 'first', mode: 'exclusive', count: 1 }]);
    }),
  );
  const lock = await locks.acquire('k');
  const next = locks.acquire('k', { template: 'second' });
  const last = locks.acquire('k', { template: 'third' });
  await lock.release();
  await (await next).release();
  const { token } = { token: (await last).fencingToken };
  expect(token).toBeGreaterThan(lock.fencingToken);
  expect(locks.stats().holds).toEqual([{ template: 'third', mode: 'exclusive', count: 1 }]);
});

it('counts leaderships for themselves: for how many it stands, and how many it has', async () => {
  class Reports {
    @LeaderOnly('reports')
    async make(): Promise<void> {}
  }
  const backend = new MemoryBackend();
  const [leader, other] = [serve({ backend }), serve({ backend })];
  await leader.attach(new Reports()).make();
  await eventually('it leads', () => leader.leader('reports').isLeader);
  other.leader('reports', { template: 'reports' });
  other.leader('shard:1');
  await eventually('it leads', () => other.leader('shard:1').isLeader);
  expect(leader.stats()).toMatchObject({
    holds: [],
    leaderships: [{ template: 'reports', standing: 1, leading: 1 }],
  });
  expect(other.stats()).toMatchObject({
    holds: [],
    waits: [],
    leaderships: [
      { template: 'reports', standing: 1, leading: 0 },
      { template: undefined, standing: 1, leading: 1 },
    ],
  });
});

it('lists the nodes that are paused, until they are not', async () => {
  const backend = new ScriptedBackend();
  const connect = backend.connect.bind(backend);
  backend.connect = (process) => {
    process.paused?.(2, 60_000, 'it lost its memory');
    process.paused?.(3, 1, 'it lost its memory');
    return connect(process);
  };
  const locks = serve({ backend });
  await locks.acquire('k');
  await eventually('one goes on', () => locks.stats().paused.length === 1);
  const [paused] = locks.stats().paused;
  expect(paused).toMatchObject({ node: 2, why: 'it lost its memory' });
  expect(paused?.remaining).toBeGreaterThan(1_000);
});

it('says nothing of what was lost, and of a service that is closed', async () => {
  const locks = serve();
  await locks.acquire('k');
  await locks.forceRelease('k');
  expect(locks.stats()).toMatchObject(NOTHING);
  await locks.acquire('k');
  await locks.close();
  expect(locks.stats()).toMatchObject(NOTHING);
});

it('are answered by all services of a process that are in use', async () => {
  const [one, other, closed] = [serve({}, 'one'), serve({}, 'other'), serve({}, 'closed')];
  for (const locks of [one, other, closed]) await locks.acquire('k');
  await closed.close();
  serve({}, 'unused');
  const answers = allStats().map(({ instance, holds }) => [instance, holds.length]);
  expect(answers).toEqual([
    ['one', 1],
    ['other', 1],
  ]);
});
