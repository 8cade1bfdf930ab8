import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { LockService } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import ts from 'typescript';
import { eventually } from '../support/eventually.js';
import { Program } from '../support/program.js';
import { RedisServer } from '../support/redis-server.js';
import { assertBuilt } from '../support/worker-process.js';

/** Each restarts all three processes, one by one. */
const DEPLOYS = Number(process.env.DEPLOYS ?? 1);

jest.setTimeout(30_000 + DEPLOYS * 60_000);

const code = ts.transpileModule(
  readFileSync(new URL('../support/deployed-app.ts', import.meta.url), 'utf8'),
  {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      experimentalDecorators: true,
    },
  },
).outputText;

interface Pod {
  readonly program: Program;
  readonly url: string;
}

let redis: RedisServer;
let store: Redis;
let queue: Queue;
let locks: LockService;
const pods: Pod[] = [];
const programs: Program[] = [];

async function startPod(): Promise<Pod> {
  const program = Program.start(process.execPath, ['--input-type=module', '--eval', code], {
    REDIS_PORT: String(redis.port),
  });
  programs.push(program);
  await program.says(/serves http/);
  const [, url = ''] = /serves (\S+)/.exec(program.output) ?? [];
  return { program, url };
}

/** The status, or the code of why there is no answer. Each on a connection of its own. */
function post(url: string): Promise<number | string> {
  return new Promise((resolve) => {
    const asked = request(url, { method: 'POST', agent: false }, (reply) => {
      reply.resume();
      reply.on('close', () => {
        resolve(reply.complete ? (reply.statusCode ?? 0) : 'broken off');
      });
    });
    asked.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    asked.end();
  });
}

beforeAll(async () => {
  assertBuilt();
  redis = await RedisServer.start();
  const connection = { host: '127.0.0.1', port: redis.port };
  store = new Redis(connection);
  queue = new Queue('invoices', { connection });
  locks = new LockService({ backend: new RedisBackend({ options: connection }) });
  pods.push(...(await Promise.all([startPod(), startPod(), startPod()])));
}, 120_000);

afterAll(async () => {
  await Promise.all(programs.map((program) => program.stop()));
  await locks.close();
  await queue.close();
  await store.quit();
  await redis.stop();
});

it('loses nothing that was accepted, and leaves no lock behind', async () => {
  let over = false;
  const answers = new Map<number | string, number>();
  let jobs = 0;

  const customer = async (number: number) => {
    for (let id = 0; !over; id++) {
      const pod = pods[(number + id) % pods.length];
      const answer = await post(`${pod?.url ?? ''}/orders/${number % 3}`);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
  };
  const bookkeeper = async () => {
    while (!over) {
      const batch = Array.from({ length: 10 }, () => ({
        name: 'invoice',
        data: { customer: jobs++ % 7 },
      }));
      await queue.addBulk(batch);
      await sleep(200);
    }
  };
  const load = [...Array.from({ length: 6 }, (_, number) => customer(number)), bookkeeper()];

  for (let restart = 0; restart < 3 * DEPLOYS; restart++) {
    const next = await startPod();
    const begun = Number(await store.get('reports begun'));
    await eventually(
      'a report begins',
      async () => Number(await store.get('reports begun')) > begun,
    );
    const [old] = pods.splice(restart % 3, 1, next);
    old?.program.kill('SIGTERM');
    expect(await old?.program.ended).toBe('SIGTERM');
    const holders: unknown[] = [];
    for await (const state of locks.list())
      holders.push(...state.holders.map(({ owner }) => owner));
    expect(holders).not.toContainEqual(expect.objectContaining({ pid: old?.program.pid }));
  }
  over = true;
  await Promise.all(load);
  await eventually(
    'all invoices are written',
    async () => (await queue.getJobCountByTypes('completed', 'failed')) === jobs,
  );

  // Of the requests that came to a server that was closed by then, none was accepted.
  const refused = answers.get('ECONNREFUSED') ?? 0;
  const { 201: done = 0, ...others } = Object.fromEntries(answers) as Record<string, number>;
  expect(done).toBeGreaterThan(0);
  expect({ ...others, ECONNREFUSED: refused }).toEqual({ ECONNREFUSED: refused });
  expect((await queue.getFailed()).map(({ failedReason }) => failedReason)).toEqual([]);
  expect(Number(await store.get('orders'))).toBe(done);
  expect(Number(await store.get('invoices'))).toBe(jobs);
  for (const { output } of programs) expect(output).not.toMatch(/error|lock|ledger/i);
  await eventually('no report is cut short', async () => {
    const [begun, written] = await store.mget('reports begun', 'reports done');
    return begun === written;
  });
});
