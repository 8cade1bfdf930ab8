import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { LockModule, LockService } from 'nestjs-lock';
import { LockDashboardModule } from 'nestjs-lock/dashboard';
import { RedisBackend } from 'nestjs-lock/redis';
import type { DashboardState } from '../../lib/dashboard/dashboard-state.js';
import { eventually } from '../support/eventually.js';
import { startHttp } from '../support/nest-application.js';
import { PageEvents } from '../support/page-events.js';
import { RedisServer } from '../support/redis-server.js';

const KEYS = 600;
const LOOKS_PER_SECOND = 200;

/** So many keys are looked at together, each of which waits for its turn afterwards. */
const PAGE = 100;

/** What was not used for so many seconds is used later. */
const CATCH_UP = 0.25;

let server: RedisServer;
let admin: Redis;

beforeAll(async () => {
  server = await RedisServer.start();
  admin = server.client();
});

afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

/** How many scripts and SCANs were sent since the last time. */
async function requests(): Promise<{ looks: number; scans: number }> {
  const statistics = await admin.info('commandstats');
  await admin.config('RESETSTAT');
  const calls = (command: string) =>
    Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(statistics)?.[1] ?? 0);
  return { looks: calls('evalsha') + calls('eval'), scans: calls('scan') };
}

it('looks at so many keys in a second, however many pages are open, and at none when none is', async () => {
  const app = await startHttp({
    imports: [
      LockModule.forRoot({ backend: new RedisBackend({ url: server.url }), shutdownGrace: 0 }),
      LockDashboardModule.forRoot({ authorize: () => true, looksPerSecond: LOOKS_PER_SECOND }),
    ],
  });
  const locks = app.get(LockService);
  const keys = Array.from({ length: KEYS }, (_, n) => `order:${n}`);
  await Promise.all(keys.map((key) => locks.acquire(key, { ttl: '10m', renew: false })));

  await requests();
  const start = performance.now();
  const url = `${await app.getUrl()}/locks/events`;
  const pages = await Promise.all(Array.from({ length: 5 }, () => PageEvents.open(url)));
  for (const page of pages) {
    const { totals } = await page.until<DashboardState>(
      'state',
      'all are seen',
      ({ sweep }) => sweep !== undefined,
    );
    expect(totals).toEqual({ keys: KEYS, holders: KEYS, waiters: 0 });
  }
  const { looks, scans } = await requests();
  const seconds = (performance.now() - start) / 1_000;
  expect(looks).toBeGreaterThanOrEqual(KEYS);
  // The page of this sweep, and the first one of the next.
  expect(looks).toBeLessThanOrEqual(LOOKS_PER_SECOND * (seconds + CATCH_UP) + 2 * PAGE);
  // For each thousand names of the database one, and what SCAN gives twice; sweeps take three seconds.
  expect(scans).toBeLessThanOrEqual(2 * (1 + seconds / (KEYS / LOOKS_PER_SECOND)));

  for (const page of pages) page.close();
  await eventually('nothing is asked any more', async () => {
    await requests();
    await sleep(1_500);
    const { looks, scans } = await requests();
    return looks + scans === 0;
  });
});

it('says that the locks cannot be seen while Redis is away, and shows them when it is back', async () => {
  const app = await startHttp({
    imports: [
      LockModule.forRoot({ backend: new RedisBackend({ url: server.url }), shutdownGrace: 0 }),
      LockDashboardModule.forRoot({ authorize: () => true }),
    ],
  });
  const page = await PageEvents.open(`${await app.getUrl()}/locks/events`);
  await page.until<DashboardState>('state', 'it is seen', ({ sweep }) => sweep !== undefined);
  await server.kill();
  const { trouble } = await page.until<DashboardState>(
    'state',
    'it is told',
    ({ trouble }) => trouble !== undefined,
  );
  expect(trouble).toMatch(/ECONNREFUSED|lost|closed/);
  await server.launch();
  await app.get(LockService).acquire('k');
  const isBack = ({ totals, trouble }: DashboardState) =>
    trouble === undefined && totals.keys === 1;
  expect(await page.until('state', 'it is seen', isBack)).toMatchObject({ rows: [{ key: 'k' }] });
  page.close();
});
