import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OnApplicationShutdown } from '@nestjs/common';
import { ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { Redis } from 'ioredis';
import { LockModule } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import pg from 'pg';
import { SalesReportJob } from '../../sample-app/src/shop/sales-report.job.js';
import { SHOWS } from '../../sample-app/src/shop/shows.js';
import { MemoryTicketStock } from '../../sample-app/src/shop/stock/memory-ticket-stock.js';
import { EtcdTicketStock } from '../../sample-app/src/shop/stock/etcd-ticket-stock.js';
import { PostgresTicketStock } from '../../sample-app/src/shop/stock/postgres-ticket-stock.js';
import { RedisTicketStock } from '../../sample-app/src/shop/stock/redis-ticket-stock.js';
import { StaleTokenError, TicketStock } from '../../sample-app/src/shop/stock/ticket-stock.js';
import type { Ticket } from '../../sample-app/src/shop/tickets.service.js';
import { eventually } from '../support/eventually.js';
import { start } from '../support/nest-application.js';
import { Program, root } from '../support/program.js';
import { EtcdCluster } from '../support/etcd-cluster.js';
import { EtcdServer } from '../support/etcd-server.js';
import { PostgresServer } from '../support/postgres-server.js';
import { RedisCluster } from '../support/redis-cluster.js';
import { RedisServer } from '../support/redis-server.js';

let redis: RedisServer;
const running: { stop(): Promise<void> }[] = [];

/** Has it stopped with the others, by {@link stopAll}. */
function toStop<T extends { stop(): Promise<void> }>(started: T): T {
  running.push(started);
  return started;
}

async function stopAll(): Promise<void> {
  for (const one of running.splice(0)) await one.stop();
}

/** Runs what `npm start` and `npm run demo` run once they have built it. */
function run(script: 'start' | 'demo', environment: NodeJS.ProcessEnv = {}): Program {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const [command = '', ...args] = scripts[script]!.split(' ');
  return toStop(Program.start(command, args, { PORT: '0', ...environment }));
}

/** The environment in which several processes share the Redis of this file. */
const onRedis = () => ({ LOCK_BACKEND: 'redis', REDIS_URL: redis.url });

/** Starts the shop, and answers where it listens. */
async function open(environment?: NodeJS.ProcessEnv): Promise<{ shop: Program; url: string }> {
  const shop = run('start', environment);
  await shop.says(/npm run demo/);
  return { shop, url: /listens on (http:\/\/localhost:\d+)/.exec(shop.output)![1]! };
}

async function post(url: string): Promise<Response> {
  return fetch(url, { method: 'POST' });
}

async function buy(url: string): Promise<Ticket> {
  const response = await post(url);
  expect(response.status).toBe(201);
  return (await response.json()) as Ticket;
}

beforeAll(async () => {
  redis = await RedisServer.start();
  // Of the library it uses what was built last, as its users do.
  const build = Program.start(process.execPath, [
    'node_modules/@nestjs/cli/bin/nest.js',
    'build',
    'sample-app',
  ]);
  if ((await build.ended) !== 0) throw new Error(`the sample does not build: ${build.output}`);
}, 120_000);

afterAll(() => redis.stop());

describe('npm start', () => {
  let shop: Program;
  let url: string;

  beforeAll(async () => {
    ({ shop, url } = await open());
  });

  afterAll(stopAll);

  // First, while nothing has been sold.
  it('prints commands that do what it says', async () => {
    const commands = shop.output.match(/(?<=^ {2})curl .*$/gm)!;
    // One line starts two: the second while the first is at work.
    const [look, purchase, ...printJobs] = commands
      .flatMap((line) => line.split(' & sleep 1; '))
      .map((command) => {
        const [, method = 'GET', at] = /^curl (?:-i )?(?:-X (\w+) )?(\S+)$/.exec(command)!;
        return () => fetch(at!, { method });
      });

    expect(await (await look!()).json()).toEqual({ show: 'hamlet', left: 100 });
    expect(await (await purchase!()).json()).toEqual({
      show: 'hamlet',
      seat: 100,
      fencingToken: expect.any(Number) as number,
    });
    expect(await (await look!()).json()).toEqual({ show: 'hamlet', left: 99 });

    const [refused, printed] = await both(printJobs.map((print) => print()));
    expect(refused.status).toBe(409);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await refused.text()).toContain('printer');
    expect(await (await printed).text()).toContain('printed');
    expect(commands).toHaveLength(3);
    expect(commands.every((command) => command.includes(url))).toBe(true);
  });

  it('says where it listens, and serves a page whose links and buttons work', async () => {
    const response = await fetch(url);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/html');
    const page = await response.text();

    const links = [...page.matchAll(/href="([^"]+)"/g)].map(([, path]) => path!);
    expect(links).toHaveLength(5);
    for (const link of links) expect((await fetch(url + link)).status).toBe(200);

    const buttons = [...page.matchAll(/formaction="([^"]+)"/g)].map(([, path]) => path!);
    expect(buttons).toHaveLength(8);
    // Not the rush, which leaves nothing for those who come later.
    const hamlet = buttons.filter((path) => /hamlet(?!\/rush)/.test(path));
    for (const button of hamlet) expect((await post(url + button)).status).toBe(201);
  });

  it('sells each seat once under the lock, and more than once without', async () => {
    const rush = (path: string) => Promise.all(Array.from({ length: 30 }, () => buy(url + path)));

    const tickets = await rush('/shows/hamlet/tickets');
    const seats = tickets.map(({ seat }) => seat);
    expect(new Set(seats).size).toBe(30);
    // The seats are sold from the last to the first: the later the sale, the greater the token.
    tickets.sort((a, b) => b.seat - a.seat);
    const tokens = tickets.map(({ fencingToken }) => fencingToken!);
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));

    const oversold = await rush('/shows/macbeth/tickets/unlocked');
    expect(new Set(oversold.map(({ seat }) => seat)).size).toBeLessThan(30);
  });

  it('answers 410 when a show is sold out, and 404 when it is not on', async () => {
    const { left } = (await (await fetch(`${url}/shows/hamlet`)).json()) as { left: number };
    await Promise.all(Array.from({ length: left }, () => buy(`${url}/shows/hamlet/tickets`)));
    expect((await post(`${url}/shows/hamlet/tickets`)).status).toBe(410);
    expect((await post(`${url}/shows/oklahoma/tickets`)).status).toBe(404);
  });

  it('tells its health and metrics, shows its locks to this machine, and lets 200 buyers come at once', async () => {
    const health = await fetch(`${url}/health`);
    expect([health.status, await health.json()]).toMatchObject([
      200,
      { details: { locks: { status: 'up', paused: false } } },
    ]);
    const page = await fetch(`${url}/locks`);
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('<h1>Locks')]);
    expect(shop.output).toContain(`${url}/locks`);
    const byAnotherName = await fetch(`${url.replace('localhost', '127.0.0.1')}/locks`);
    expect(byAnotherName.status).toBe(403);

    const rush = await post(`${url}/shows/macbeth/rush`);
    expect(await rush.json()).toEqual({ show: 'macbeth', sold: 100 });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const waited = /^nestjs_lock_acquire_duration_seconds_count\{.*"granted".*"true"\} (\d+)$/m;
    expect(Number(waited.exec(metrics)?.[1])).toBeGreaterThanOrEqual(100);
  });

  it('shares stock and locks with other replicas through Redis', async () => {
    const replicas = await Promise.all([open(onRedis()), open(onRedis())]);
    const purchases = replicas.flatMap((replica) =>
      Array.from({ length: 20 }, () => buy(`${replica.url}/shows/hamlet/tickets`)),
    );
    const seats = (await Promise.all(purchases)).map(({ seat }) => seat);
    expect(seats.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => 61 + i));

    const [refused, printed] = await both(
      replicas.map(({ url }) => post(`${url}/shows/hamlet/print`)),
    );
    expect(refused.status).toBe(409);
    expect((await printed).status).toBe(201);
  });

  it.each<[string, NodeJS.ProcessEnv, RegExp]>([
    ['an unknown backend', { LOCK_BACKEND: 'mysql' }, /LOCK_BACKEND .* got 'mysql'/],
    ['no REDIS_URL', { LOCK_BACKEND: 'redis' }, /LOCK_BACKEND=redis needs REDIS_URL/],
    ['no ETCD_HOSTS', { LOCK_BACKEND: 'etcd' }, /LOCK_BACKEND=etcd needs ETCD_HOSTS/],
    ['no POSTGRES_URL', { LOCK_BACKEND: 'postgres' }, /LOCK_BACKEND=postgres needs POSTGRES_URL/],
    ['a bad PORT', { PORT: '80a' }, /PORT .* got '80a'/],
    [
      'no Redis at REDIS_URL',
      { LOCK_BACKEND: 'redis', REDIS_URL: 'redis://127.0.0.1:1' },
      /ECONNREFUSED 127\.0\.0\.1:1/,
    ],
  ])('does not start with %s, and says so', async (_, environment, message) => {
    const shop = run('start', environment);
    expect(await shop.ended).toBe(1);
    expect(shop.output).toMatch(message);
  });

  // At last the shop that has served all this, and one that has served nothing.
  it.each([
    ['SIGTERM', () => Promise.resolve({ shop, url })],
    ['SIGINT', () => open()],
  ] as const)('lets the work be finished at %s', async (signal, opened) => {
    const { shop, url } = await opened();
    const print = () => post(`${url}/shows/hamlet/print`);
    const [refused, printed] = await both([print(), print()]);
    expect(refused.status).toBe(409);
    shop.kill(signal);
    expect((await printed).status).toBe(201);
    expect(await shop.ended).toBe(signal);
    expect(shop.output).not.toMatch(/ERROR|WARN/);
  });
});

describe('npm run demo', () => {
  /** As many processes as it takes; unless it is told, the demo starts four. */
  const two = { PROCESSES: '2' };

  afterEach(stopAll);

  // By the clock in microseconds a hundred sales of 10 ms take a million; etcd counts revisions.
  it.each<[string, number, () => Promise<NodeJS.ProcessEnv>]>([
    ['in memory', 900_000, () => Promise.resolve({})],
    ['with several processes on Redis', 900_000, () => Promise.resolve(onRedis())],
    [
      'with several processes on a Redis Cluster',
      900_000,
      async () => {
        const { urls } = toStop(await RedisCluster.start());
        return { LOCK_BACKEND: 'cluster', REDIS_URL: urls.join(), ...two };
      },
    ],
    [
      'with several processes on a quorum of Redis nodes',
      900_000,
      async () => {
        const start = async () => toStop(await RedisServer.start()).url;
        const urls = await Promise.all([1, 2, 3].map(start));
        return { LOCK_BACKEND: 'redlock', REDIS_URL: urls.join(), ...two };
      },
    ],
    [
      'with several processes on etcd',
      99,
      async () => {
        const { urls } = toStop(await EtcdCluster.start());
        return { LOCK_BACKEND: 'etcd', ETCD_HOSTS: urls.join(), ...two };
      },
    ],
    [
      'with several processes on PostgreSQL',
      900_000,
      async () => {
        const { url } = toStop(await PostgresServer.start());
        return { LOCK_BACKEND: 'postgres', POSTGRES_URL: url, ...two };
      },
    ],
  ])('oversells without the lock and never with it, %s', async (_, apart, environment) => {
    const demo = run('demo', await environment());
    expect([await demo.ended, demo.output]).toEqual([0, expect.any(String)]);
    const { without, locked } = table(demo.output);

    expect(without.sold).toBeGreaterThan(100);
    expect(without.oversold).toBe(without.sold - 100);
    expect(locked).toMatchObject({ sold: 100, oversold: 0 });
    expect(locked['wait p50 (ms)']).toBeLessThanOrEqual(locked['wait p99 (ms)']!);
    expect(locked['wait p99 (ms)']).toBeLessThanOrEqual(locked['time (ms)']!);
    expect(locked['last token']! - locked['first token']!).toBeGreaterThanOrEqual(apart);
  });

  it('leaves nothing in Redis but what is on sale, and the sequence of the tokens', async () => {
    const client = redis.client();
    // A replica that was killed above may have left the report's to its ttl.
    const names = (await client.keys('*')).filter((name) => !name.endsWith(':sales-report'));
    expect(names.sort()).toEqual([
      ...SHOWS.map((show) => `ticket-shop:stock:${show}`),
      '{ticket-shop:0}:sequence',
    ]);
    client.disconnect();
  });

  it('does not start with a bad number of processes, and says so', async () => {
    const demo = run('demo', { ...onRedis(), PROCESSES: '0' });
    expect(await demo.ended).toBe(1);
    expect(demo.output).toMatch(/PROCESSES .* got '0'/);
  });

  it('fails when the lock does not lock', async () => {
    const server = toStop(await RedisServer.start(['--notify-keyspace-events', 'E$']));
    const [client, events] = [server.client(), server.client()];
    await events.subscribe('__keyevent@0__:set');
    events.on('message', (_, name: string) => {
      if (name.startsWith('{ticket-shop:0}:lock:show:')) void client.del(name);
    });
    const demo = run('demo', { LOCK_BACKEND: 'redis', REDIS_URL: server.url, PROCESSES: '1' });
    expect(await demo.ended).toBe(1);
    expect(demo.output).toMatch(/LockLostError|StaleTokenError/);
    for (const one of [events, client]) await one.quit();
  });
});

describe('the sales report', () => {
  it('runs on one replica only, though the clock strikes on all', async () => {
    const stock = new CountingStock();
    for (const show of SHOWS) await stock.open(show, 1);
    const replicas = await Promise.all(
      [1, 2, 3].map(() =>
        start({
          imports: [
            LockModule.forRoot({ backend: new RedisBackend({ url: redis.url }) }),
            ScheduleModule.forRoot(),
          ],
          providers: [SalesReportJob, { provide: TicketStock, useValue: stock }],
        }),
      ),
    );
    const strike = () =>
      replicas.flatMap((replica) =>
        [...replica.get(SchedulerRegistry).getCronJobs().values()].map((job) => job.fireOnTick()),
      );

    const jobs = strike();
    expect(jobs).toHaveLength(3);
    await eventually('one reports', () => stock.reads === SHOWS.length);
    // Those whose clocks are late find it busy as well, for it stays that long.
    await Promise.all([...jobs, ...strike()]);
    expect(stock.reads).toBe(SHOWS.length);
  });
});

describe.each<[string, () => Promise<TicketStock>]>([
  ['in memory', () => Promise.resolve(new MemoryTicketStock())],
  ['in Redis', () => RedisTicketStock.connect(new Redis(redis.url, { lazyConnect: true }))],
  ['in etcd', async () => EtcdTicketStock.connect([toStop(await EtcdServer.start()).url])],
  [
    'in PostgreSQL',
    async () => {
      const { url } = toStop(await PostgresServer.start());
      return PostgresTicketStock.connect(new pg.Pool({ connectionString: url }));
    },
  ],
])('the stock %s', (_, make) => {
  let stock: TicketStock;

  beforeAll(async () => {
    stock = await make();
  });

  beforeEach(() => stock.open('lear', 10));

  afterEach(() => stock.close('lear'));

  afterAll(async () => {
    if (!(stock instanceof MemoryTicketStock)) {
      await (stock as TicketStock & OnApplicationShutdown).onApplicationShutdown();
    }
    await stopAll();
  });

  it('refuses a holder that writes after a newer one', async () => {
    const paused = 1_795_425_438_870_000;
    const newer = paused + 1;
    await stock.writeFenced('lear', 9, paused);
    await stock.writeFenced('lear', 8, paused);
    await stock.writeFenced('lear', 7, newer);
    await expect(stock.writeFenced('lear', 9, paused)).rejects.toThrow(StaleTokenError);
    expect(await stock.left('lear')).toBe(7);
  });

  it('opens a show once', async () => {
    await stock.write('lear', 3);
    await stock.open('lear', 10);
    expect(await stock.left('lear')).toBe(3);
    await expect(stock.left('othello')).rejects.toThrow('othello is not on sale');
  });
});

class CountingStock extends MemoryTicketStock {
  reads = 0;

  override left(show: string): Promise<number> {
    this.reads++;
    return super.left(show);
  }
}

/**
 * Of two requests for one printer, which may overtake each other: the one that is answered at
 * once, and the one that is at work then.
 */
async function both(requests: Promise<Response>[]): Promise<[Response, Promise<Response>]> {
  const answers = requests.map(async (request, index) => ({ index, answer: await request }));
  const { index, answer } = await Promise.race(answers);
  return [answer, requests[1 - index]!];
}

interface Row extends Record<string, number> {
  sold: number;
  oversold: number;
}

/** The rows that the demo prints, by the names of their columns. */
function table(output: string): { without: Row; locked: Row } {
  const rows = output
    .split('\n')
    .filter((line) => line.startsWith('│'))
    .map((line) => line.split('│').map((cell) => cell.trim()));
  const [columns, without, locked] = rows;
  const read = (row: string[]) =>
    Object.fromEntries(columns!.map((column, index) => [column, Number(row[index])])) as Row;
  return { without: read(without!), locked: read(locked!) };
}
