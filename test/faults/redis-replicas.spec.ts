import type { Redis } from 'ioredis';
import { RedisBackend } from 'nestjs-lock/redis';
import { eventually } from '../support/eventually.js';
import type { RedisServer } from '../support/redis-server.js';
import { Scene } from '../support/scene.js';

const CALLERS = 30;

const scene = new Scene();
let master: RedisServer;
let replica: RedisServer;
let admin: Redis;

beforeAll(async () => {
  master = await scene.redis();
  replica = await scene.redis(['--replicaof', `127.0.0.1 ${master.port}`]);
  admin = scene.client(master.url);
});

afterAll(() => scene.end());

/** How often clients have sent these since the statistics were reset. */
async function calls(...commands: string[]): Promise<number> {
  const statistics = await admin.info('commandstats');
  return commands.reduce((sum, command) => {
    const said = new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(statistics);
    return sum + Number(said?.[1] ?? 0);
  }, 0);
}

it('many callers who wait for a replica that is away try one by one, and what is held is renewed', async () => {
  const service = scene.service(new RedisBackend({ url: master.url, replicas: 1 }));
  const lock = await service.acquire('held', { wait: 20_000, ttl: 30_000 });
  await replica.kill();
  const asked = Array.from({ length: CALLERS }, (_, index) =>
    service.acquire(`k${index}`, { wait: 20_000 }),
  );
  // By then all have tried once.
  await eventually('the first answer', async () => (await calls('wait')) >= 3);
  await eventually('all withdrawn', async () => (await admin.keys('*:lock:k*')).length === 0);
  await admin.config('RESETSTAT');
  await eventually('some more attempts', async () => (await calls('wait')) >= 6);
  // Each attempt is a request and its withdrawal, and asks up to three times.
  expect(await calls('eval', 'evalsha')).toBeLessThan(CALLERS / 2);
  // Behind one short WAIT at most, and not behind those of all others, which would end the connection.
  await lock.renew();
  expect(/^total_connections_received:(\d+)/m.exec(await admin.info('stats'))?.[1]).toBe('0');
  await replica.launch();
  for (const other of await Promise.all(asked)) await other.release();
  await lock.release();
});
