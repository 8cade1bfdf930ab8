// Random programs, and a model that says what must come of each step; see test/support/model.
//
// A failure shows the shortest program that was found and the seed it came from. To run that program
// again, and nothing else:
//
//   MODEL_SEED=123 npm test -- --selectProjects faults --testPathPatterns faults/model -t Redis
//
// MODEL_STEPS=10000 takes more of them.
import { randomInt } from 'node:crypto';
import { type LockBackend, MemoryBackend } from 'nestjs-lock';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { PostgresBackend } from 'nestjs-lock/postgres';
import { RedisBackend, RedlockBackend } from 'nestjs-lock/redis';
import { EtcdServer } from '../support/etcd-server.js';
import { compare } from '../support/model/comparison.js';
import type { Pace } from '../support/model/crew.js';
import { PostgresServer } from '../support/postgres-server.js';
import { RedisCluster } from '../support/redis-cluster.js';
import { Scene } from '../support/scene.js';

/** So many steps each backend has to do without a difference: in real time, which is dear. */
const STEPS = Number(process.env.MODEL_STEPS ?? 400);

interface Kind {
  readonly name: string;
  readonly pace: Pace;
  /** So many programs run at once: most of the time they wait. */
  readonly lanes: number;
  /** See there. */
  readonly slow: number;
  readonly start: (scene: Scene) => Promise<LockBackend> | LockBackend;
}

/** A dead waiter lives for 3.5 s, and may be let in for 2 s more. */
const redisPace: Pace = { prompt: 5_000, haunted: 8_000, hidden: 0, short: 200, late: 2_000 };

const kinds: readonly Kind[] = [
  {
    name: 'memory',
    pace: { prompt: 2_000, haunted: 2_000, hidden: 0, short: 50, late: 2_000 },
    lanes: 8,
    slow: 10,
    start: () => new MemoryBackend(),
  },
  {
    name: 'Redis',
    pace: redisPace,
    lanes: 8,
    slow: 3,
    start: async (scene) => new RedisBackend({ url: (await scene.redis()).url }),
  },
  {
    name: 'Redis Cluster',
    pace: redisPace,
    lanes: 8,
    slow: 3,
    start: async (scene) => {
      const cluster = await RedisCluster.start();
      scene.also(() => cluster.stop());
      return new RedisBackend({ cluster: cluster.urls });
    },
  },
  {
    name: 'Redlock',
    // Its waiters look again by themselves; who could have the lock counts as on the way to it.
    pace: { ...redisPace, haunted: 10_000, hidden: 3_500 },
    lanes: 8,
    slow: 3,
    start: async (scene) => {
      const nodes = await Promise.all([scene.redis(), scene.redis(), scene.redis()]);
      return new RedlockBackend({ nodes: nodes.map(({ url }) => url) });
    },
  },
  {
    name: 'etcd',
    // It counts whole seconds, and looks twice a second for leases that ended.
    pace: { prompt: 8_000, haunted: 10_000, hidden: 0, short: 1_000, late: 5_000 },
    lanes: 8,
    slow: 3,
    start: async (scene) => {
      const server = await EtcdServer.start();
      scene.also(() => server.stop());
      return new EtcdBackend({ hosts: server.url });
    },
  },
  {
    name: 'PostgreSQL',
    pace: redisPace,
    lanes: 8,
    slow: 3,
    start: async (scene) => {
      const server = await PostgresServer.start();
      scene.also(() => server.stop());
      return new PostgresBackend({ connectionString: server.url });
    },
  },
];

describe.each(kinds)('random programs on $name', ({ pace, lanes, slow, start }) => {
  const scene = new Scene();
  const given = process.env.MODEL_SEED;

  afterAll(() => scene.end());

  it(`agree with the model in ${STEPS} steps`, async () => {
    const backend = await start(scene);
    const all = { steps: STEPS, lanes, seed: randomInt(2 ** 31) };
    const extent = given === undefined ? all : { steps: 1, lanes: 1, seed: Number(given) };
    const done = await compare(backend, { pace, slow, shrinking: 60_000, ...extent });
    expect(done).toBeGreaterThanOrEqual(extent.steps);
  }, 300_000);
});
