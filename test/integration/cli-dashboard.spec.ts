import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { LockService } from 'nestjs-lock';
import request from 'supertest';
import type { DashboardState } from '../../lib/dashboard/dashboard-state.js';
import { cli, endPrograms } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { PageEvents } from '../support/page-events.js';
import type { Program } from '../support/program.js';
import { Scene } from '../support/scene.js';
import { assertBuilt } from '../support/worker-process.js';

const UNAVAILABLE = 69;

const scene = new Scene();
let environment: NodeJS.ProcessEnv;
let locks: LockService;
let taken: Server;

beforeAll(async () => {
  assertBuilt();
  const { url } = await scene.redis();
  environment = { NESTJS_LOCK_REDIS: url };
  locks = scene.service(url, { label: 'the shop' });
});

afterEach(endPrograms);

afterAll(() => scene.end());

async function serve(...options: string[]): Promise<{ program: Program; url: string }> {
  const program = cli(['dashboard', ...options], environment);
  await program.says(/^http:\S+\/$/m);
  return { program, url: program.stdout.trim() };
}

const breakIt = (url: string) =>
  request(url)
    .post('force-release')
    .set({ 'x-nestjs-lock': 'test', origin: new URL(url).origin })
    .send({ key: 'k' });

it('shows the locks of a store on this machine alone, where nobody else can guess it', async () => {
  const lock = await locks.acquire('k');
  const { program, url } = await serve();
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{32}\/$/);
  const page = await PageEvents.open(`${url}events`);
  const isSeen = ({ rows }: DashboardState) => rows.length > 0;
  expect(await page.until('state', 'it is seen', isSeen)).toMatchObject({
    rows: [{ key: 'k', holders: [{ token: lock.fencingToken, label: 'the shop', isSelf: false }] }],
  });
  await request(new URL(url).origin).get('/').expect(404);
  await request(new URL(url).origin).get('/main.js').expect(404);
  await breakIt(url).expect(403, { message: 'this dashboard is read-only' });
  expect(lock.held).toBe(true);

  program.kill('SIGTERM');
  expect(await program.ended).toBe(0);
  expect(program.output).toBe(`${url}\n`);
  await lock.release();
});

it('breaks locks if it is told that it may', async () => {
  const lock = await locks.acquire('k');
  const port = await freePort();
  const { program, url } = await serve('--writable', '--port', String(port));
  expect(new URL(url).port).toBe(String(port));
  await breakIt(url).expect(200, { holders: 1 });
  expect(await locks.tryAcquire('k')).not.toBeNull();
  await lock.release();
  program.kill('SIGINT');
  expect(await program.ended).toBe(0);
  expect(program.output).toMatch(/^nestjs-lock: forceRelease of 'k', which had 1 holders$/m);
});

it('says that its port is taken', async () => {
  taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  scene.also(() => void taken.close());
  const { port } = taken.address() as { port: number };
  const program = cli(['dashboard', '--port', String(port)], environment);
  expect(await program.ended).toBe(UNAVAILABLE);
  expect(program.output).toMatch(`--port ${port} cannot be used: `);
});
