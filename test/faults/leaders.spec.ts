import type { Redis } from 'ioredis';
import { eventually } from '../support/eventually.js';
import { type Visit, violations } from '../support/history.js';
import type { RedisServer } from '../support/redis-server.js';
import { Scene } from '../support/scene.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import type { WorkerProcess } from '../support/worker-process.js';

const KEY = 'reports';
const TTL = 1_000;

/** How many leaders fail: in each way two. */
const FAILURES = 6;

interface Candidate {
  readonly worker: WorkerProcess;
  readonly network: TcpProxy;
}

interface Term {
  readonly name: string;
  readonly token: number;
  readonly from: number;
  readonly until: number;
}

/** What befalls a leader, and how it is mended when the next one leads. */
const faults: Record<string, (leader: Candidate) => Promise<() => Promise<void> | void>> = {
  killed: async ({ worker }) => {
    await worker.kill();
    return () => undefined;
  },
  stopped: ({ worker }) => {
    worker.freeze();
    return Promise.resolve(() => {
      worker.thaw();
    });
  },
  'cut off': async ({ network }) => {
    await network.refuse();
    return () => network.admit();
  },
};

describe('5 processes of which one leads', () => {
  const scene = new Scene();
  const candidates = new Map<string, Candidate>();
  let store: RedisServer;
  let resource: RedisServer;
  let log: Redis;
  let names = 0;

  beforeAll(async () => {
    [store, resource] = await Promise.all([scene.redis(), scene.redis()]);
    log = scene.client(resource.url);
    await Promise.all(Array.from({ length: 5 }, stand));
  });

  afterAll(() => scene.end());

  async function stand(): Promise<void> {
    const name = `candidate-${++names}`;
    const network = await scene.proxy(store.port);
    const worker = await scene.worker(resource.url, { locks: { redis: { url: network.url } } });
    candidates.set(name, { worker, network });
    await worker.call('lead', name, KEY, TTL);
  }

  /** In the order of their first moments; each lasted at least from one moment to the other. */
  async function terms(): Promise<Term[]> {
    const found = new Map<string, Term>();
    for (const entry of await log.lrange(`${KEY}:terms`, 0, -1)) {
      const [name = '', token, moment] = entry.split(' ');
      const at = Number(moment);
      const { from, until } = found.get(`${name} ${token}`) ?? { from: at, until: at };
      found.set(`${name} ${token}`, {
        name,
        token: Number(token),
        from: Math.min(from, at),
        until: Math.max(until, at),
      });
    }
    return [...found.values()].sort((one, other) => one.from - other.from);
  }

  it('has never two of them, and another one after each failure', async () => {
    await eventually('somebody leads', async () => (await terms()).length > 0);
    const kinds = Object.keys(faults);
    for (let round = 0; round < FAILURES; round++) {
      const leader = (await terms()).at(-1)!;
      const mend = await faults[kinds[round % kinds.length]!]!(candidates.get(leader.name)!);
      await eventually('another leads', async () => (await terms()).at(-1)!.name !== leader.name);
      await mend();
      if (kinds[round % kinds.length] === 'killed') await stand();
    }

    const history = (await terms()).map(({ token, from, until }): Visit => ({
      key: KEY,
      token,
      enter: from,
      leave: until,
      valid: true,
    }));
    expect(violations(history)).toEqual([]);
    expect(history.length).toBeGreaterThan(FAILURES);
  }, 120_000);
});
