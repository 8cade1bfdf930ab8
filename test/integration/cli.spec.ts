import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LockBackend, LockService, LockState } from 'nestjs-lock';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { PostgresBackend } from 'nestjs-lock/postgres';
import { RedisBackend } from 'nestjs-lock/redis';
import { cli, endPrograms, lastAlive, script, stubborn, supervisorOf } from '../support/cli.js';
import { EtcdServer } from '../support/etcd-server.js';
import { PostgresServer } from '../support/postgres-server.js';
import { eventually } from '../support/eventually.js';
import { entered, machineTime } from '../support/history.js';
import { type Program, root } from '../support/program.js';
import { Scene } from '../support/scene.js';
import { assertBuilt } from '../support/worker-process.js';

const USAGE = 64;
const UNAVAILABLE = 69;
const BUSY = 75;
const LOST = 79;

/** The ttl of those who are to lose it, in milliseconds: long enough to be renewed in time by a slow machine. */
const TTL = 3_000;

const scene = new Scene();
let onRedis: NodeJS.ProcessEnv;
/** On that same Redis. */
let locks: LockService;

beforeAll(async () => {
  assertBuilt();
  const { url } = await scene.redis();
  onRedis = { NESTJS_LOCK_REDIS: url };
  locks = scene.service(url);
});

afterEach(endPrograms);

afterAll(() => scene.end());

/** What is warned of on an etcd like the installed one, which is another test's concern. */
const VERSION_WARNING = /^nestjs-lock: etcd \S+ may confirm the renewal of a lease .*\n/m;

/** Starts one that holds the key until it is told to go. */
async function holding(
  environment: NodeJS.ProcessEnv,
  key: string,
  ...options: string[]
): Promise<Program> {
  const holder = cli(['run', key, ...options, '--ttl', String(TTL), ...stubborn], environment);
  await holder.says(/^alive/m);
  return holder;
}

async function end(program: Program): Promise<[exit: number | string, output: string]> {
  return [await program.ended, program.output.replace(VERSION_WARNING, '')];
}

describe.each<[string, () => Promise<{ environment: NodeJS.ProcessEnv; backend: LockBackend }>]>([
  [
    'Redis',
    async () => {
      const { url } = await scene.redis();
      return { environment: { NESTJS_LOCK_REDIS: url }, backend: new RedisBackend({ url }) };
    },
  ],
  [
    'etcd',
    async () => {
      const server = await EtcdServer.start();
      scene.also(() => server.stop());
      const hosts = server.url;
      return { environment: { NESTJS_LOCK_ETCD: hosts }, backend: new EtcdBackend({ hosts }) };
    },
  ],
  [
    'PostgreSQL',
    async () => {
      const server = await PostgresServer.start();
      scene.also(() => server.stop());
      const environment = { NESTJS_LOCK_POSTGRES: server.url };
      return { environment, backend: new PostgresBackend({ connectionString: server.url }) };
    },
  ],
])('nestjs-lock on %s', (_, start) => {
  let environment: NodeJS.ProcessEnv;
  let locks: LockService;

  beforeAll(async () => {
    const store = await start();
    environment = store.environment;
    locks = scene.service(store.backend);
  });

  const run = (key: string, ...more: string[]) => cli(['run', key, ...more], environment);

  const hold = (key: string, ...options: string[]) => holding(environment, key, ...options);

  it('waits for it, runs a reader beside others with key, token and input, and hands it over', async () => {
    const before = await locks.acquire('k');
    const options = ['--shared', '--label', 'the reader', '--verbose'];
    const reader = cli(
      ['run', 'k', ...options, ...script('env; cat; exit 7')],
      environment,
      'pipe',
    );
    await reader.says(/waiting/);
    await eventually('it waits', async () => (await locks.inspect('k')).waiters === 1);
    const { queue } = await locks.inspect('k');
    expect(queue).toMatchObject([{ mode: 'shared', owner: { label: 'the reader' } }]);
    await before.release();

    reader.stdin.write('its input\n');
    await reader.says(/^its input$/m);
    await (await locks.tryAcquire('k', { mode: 'shared' }))!.release();
    expect(await locks.tryAcquire('k')).toBeNull();
    const next = locks.acquire('k');
    reader.stdin.end();
    await using after = await next;
    expect(await reader.ended).toBe(7);

    expect(reader.stdout).toMatch(/^LOCK_KEY=k$/m);
    const token = Number(/^LOCK_FENCING_TOKEN=(\d+)$/m.exec(reader.stdout)?.[1]);
    expect(token).toBeGreaterThan(before.fencingToken);
    expect(after.fencingToken).toBeGreaterThan(token);
    expect(reader.stdout).not.toMatch(/NODE_CHANNEL/);
  });

  it('says that others hold it', async () => {
    await locks.acquire('busy', { mode: 'shared' });
    const program = run('busy', '--wait', '0', '--', 'echo', 'ran');
    expect(await end(program)).toEqual([BUSY, 'nestjs-lock: Lock "busy" is held by another\n']);
  });

  it('takes the program with it when it is killed', async () => {
    const holder = await hold('killed');
    const next = entered(locks.acquire('killed', { wait: 30_000 }));
    holder.kill('SIGKILL');
    expect(await holder.ended).toBe('SIGKILL');
    const { at, lock } = await next;
    expect(lastAlive(holder)).toBeLessThan(at);
    await lock.release();
  });

  it('stops the program when the lock is broken', async () => {
    const holder = await hold('broken');
    const state = await locks.inspect('broken');
    const breaking = cli(['release', 'broken', '--force', '--json'], environment);
    expect(await breaking.ended).toBe(0);
    expect(JSON.parse(breaking.stdout)).toMatchObject({
      key: 'broken',
      outcome: 'broken',
      before: { holders: [{ fencingToken: state.holders[0]!.fencingToken }] },
    });
    expect(await holder.ended).toBe(LOST);
    expect(holder.output).toMatch(/Lock "broken" was lost: .*: the program was stopped/);
  });

  it('lets a limit of programs run, and asks them to stop when somebody asks for the lock', async () => {
    const stops = script('trap "exit 3" TERM; echo runs; while :; do sleep 1; done');
    const holder = run('asked', '--limit', '2', ...stops);
    await holder.says(/runs/);
    const second = await locks.tryAcquire('asked', { limit: 2 });
    expect(await locks.tryAcquire('asked', { limit: 2 })).toBeNull();
    await second!.release();
    const asking = cli(['release', 'asked', '--reason', 'a deployment'], environment);
    expect(await asking.ended).toBe(0);
    expect(asking.output).toMatch(
      /^asked is held by\nHOLDER .*\n.* sh +exclusive .*\ngiven back$/m,
    );
    expect(await holder.ended).toBe(LOST);
    expect(holder.output).toMatch(/by an operator \(a deployment\): the program was stopped/);
  });

  it('lists and shows who holds and who waits', async () => {
    const holder = await locks.acquire('shown:1', { ttl: 20_000 });
    await locks.acquire('shown:2');
    await locks.acquire('other');
    const waiter = locks.acquire('shown:1', { wait: 60_000 });
    await eventually('it waits', async () => (await locks.inspect('shown:1')).waiters === 1);

    const list = cli(['list', 'shown:*', '--json'], environment);
    expect(await list.ended).toBe(0);
    const states = list.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as LockState);
    expect(states.map(({ key }) => key).sort()).toEqual(['shown:1', 'shown:2']);

    const inspect = cli(['inspect', 'shown:1', '--json'], environment);
    expect(await inspect.ended).toBe(0);
    expect(JSON.parse(inspect.stdout)).toMatchObject({
      key: 'shown:1',
      holders: [{ mode: 'exclusive', owner: { pid: process.pid } }],
      waiters: 1,
      queue: [{ place: 0, owner: { pid: process.pid } }],
    });
    await holder.release();
    await (await waiter).release();
  });
});

describe('nestjs-lock run', () => {
  const run = (key: string, ...more: string[]) => cli(['run', key, ...more], onRedis);

  it('stops the program in time, though it is stopped itself beyond the ttl', async () => {
    const holder = await holding(onRedis, 'stopped');
    const next = entered(locks.acquire('stopped', { wait: 30_000 }));
    await eventually('one waits', async () => (await locks.inspect('stopped')).waiters === 1);

    const stopped = machineTime();
    holder.kill('SIGSTOP');
    const { at, lock } = await next;
    await eventually('twice the ttl', () => machineTime() > stopped + 2 * TTL);
    holder.kill('SIGCONT');

    expect(await holder.ended).toBe(LOST);
    expect(lastAlive(holder)).toBeGreaterThan(stopped);
    expect(lastAlive(holder)).toBeLessThan(at);
    expect(holder.output).toMatch(/ignored/);
    expect(holder.output).toMatch(/Lock "stopped" was lost: .*: the program was stopped/);
    expect(lock.held).toBe(true);
    await lock.release();
  });

  it('stops the program at once when it was stopped together with its supervisor', async () => {
    const holder = await holding(onRedis, 'both stopped');
    const supervisor = supervisorOf(holder);
    const stopped = machineTime();
    process.kill(supervisor, 'SIGSTOP');
    holder.kill('SIGSTOP');
    await using next = await locks.acquire('both stopped', { wait: 30_000 });
    await eventually('twice the ttl', () => machineTime() > stopped + 2 * TTL);

    process.kill(supervisor, 'SIGCONT');
    holder.kill('SIGCONT');
    expect(await holder.ended).toBe(LOST);
    expect(next.held).toBe(true);
  });

  it.each([
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const)('passes %s on, and ends as the program does', async (signal, number) => {
    const program = run(signal, ...script('echo runs; exec sleep 60'));
    await program.says(/runs/);
    program.kill(signal);
    expect(await program.ended).toBe(128 + number);
    await locks.withLock(signal, { wait: 0 }, () => undefined);
  });

  it('leaves it to the program what a signal does', async () => {
    const program = run(
      'graceful',
      ...script(`
        trap 'echo got SIGINT' INT
        trap 'echo got SIGHUP' HUP
        trap 'exit 5' TERM
        echo runs
        while :; do sleep 1; done
      `),
    );
    await program.says(/runs/);
    for (const signal of ['SIGINT', 'SIGHUP'] as const) {
      program.kill(signal);
      await program.says(new RegExp(`got ${signal}`));
    }
    program.kill('SIGTERM');
    expect(await program.ended).toBe(5);
    await locks.withLock('graceful', { wait: 0 }, () => undefined);
  });

  it('loses no signal between the grant and the start of the program', async () => {
    const program = run('early', '--verbose', '--', 'sleep', '60');
    await program.says(/is held/);
    program.kill('SIGTERM');
    expect(await program.ended).toBe(128 + 15);
    expect(program.output).toMatch(/"early" was given back: released/);
  });

  it.each([
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const)('waits no longer at %s', async (signal, number) => {
    const lock = await locks.acquire('left');
    const program = run('left', '--verbose', '--wait', 'Infinity', '--', 'echo', 'ran');
    await program.says(/waiting/);
    await eventually('it waits', async () => (await locks.inspect('left')).waiters === 1);
    program.kill(signal);
    expect(await end(program)).toEqual([128 + number, 'nestjs-lock: waiting for "left"\n']);
    await lock.release();
    expect((await locks.inspect('left')).holders).toEqual([]);
  });

  it('stops the program when it has held the lock for as long as it may', async () => {
    const program = run('max', '--max-hold', '5s', ...stubborn);
    expect(await program.ended).toBe(LOST);
    expect(program.output).toMatch(/ignored/);
  });

  it('keeps the key for as long as it was told to', async () => {
    expect(await run('min', '--min-hold', '1m', '--', 'true').ended).toBe(0);
    expect(await locks.tryAcquire('min')).toBeNull();
  });

  it('stops the program in time when the backend does not answer', async () => {
    const redis = await scene.redis();
    const program = cli(['run', 'k', '--ttl', String(TTL), '--redis', redis.url, ...stubborn]);
    await program.says(/alive/);
    redis.freeze();
    expect(await program.ended).toBe(LOST);
    redis.thaw();
  });

  it('kills the program when its supervisor is killed', async () => {
    const program = run('unsupervised', ...stubborn);
    await program.says(/alive/);
    process.kill(supervisorOf(program), 'SIGKILL');
    expect(await program.ended).toBe(70);
    expect(program.output).toMatch(/the supervisor was killed, and so the program is/);
  });

  it.each([
    ['no-such-program', 127, 'no such file or directory'],
    ['./package.json', 126, 'permission denied'],
  ])('says that it cannot run %s', async (name, exit, why) => {
    expect(await end(run('k', '--', name))).toEqual([
      exit,
      `nestjs-lock: cannot run ${name}: ${why}\n`,
    ]);
  });
});

describe('nestjs-lock', () => {
  it('lists in a table, with names that would move the cursor as what they are', async () => {
    const locks = scene.service(onRedis.NESTJS_LOCK_REDIS!, { label: '\u001b[2J' });
    const holder = await locks.acquire('a\nb');
    const waiter = locks.acquire('a\nb');
    await eventually('it waits', async () => (await locks.inspect('a\nb')).waiters === 1);
    const list = cli(['list'], onRedis);
    expect(await list.ended).toBe(0);
    const [head, ...rows] = list.stdout.split('\n');
    expect(head).toMatch(/^KEY +HOLDER +LABEL +MODE +SINCE +LEFT +TOKEN +WAITING$/);
    expect(rows).toContainEqual(
      expect.stringMatching(
        /^a\\u\{a\}b +\S+\/\d+ +\\u\{1b\}\[2J +exclusive +.* ago +\S+ +\d+ +1$/,
      ),
    );
    await holder.release();
    await (await waiter).release();
  });

  it('has nothing to release where nobody holds the key', async () => {
    expect(await end(cli(['release', 'free', '--force'], onRedis))).toEqual([
      0,
      'free is free\nnothing to release\n',
    ]);
  });

  it('says when a holder did not give the lock back', async () => {
    await locks.acquire('kept');
    const asking = cli(['release', 'kept', '--grace', '100'], onRedis);
    expect(await asking.ended).toBe(BUSY);
    expect(asking.output).toMatch(/still held after the grace: --force breaks the lock/);
  });

  it.each([
    ['redis', 'redis://127.0.0.1:1'],
    ['etcd', 'http://127.0.0.1:1'],
    ['postgres', 'postgres://127.0.0.1:1'],
  ])('says that %s cannot be reached', async (store, address) => {
    const where = `--${store} ${address}`;
    // What inspect does is the first that release does, and `npm run check:consumers` tries list.
    const lines = [`run k --wait 5s ${where} -- true`, `release k ${where}`];
    const programs = lines.map((line) => end(cli(line.split(' '))));
    for (const ended of await Promise.all(programs)) {
      expect(ended).toEqual([UNAVAILABLE, expect.stringMatching(/ECONNREFUSED 127/)]);
    }
  });

  it('makes the schema in PostgreSQL, and shows what makes it', async () => {
    const server = await PostgresServer.start();
    scene.also(() => server.stop());
    const migrate = ['postgres', 'migrate', '--schema', 'shop', '--postgres', server.url];
    expect(await end(cli(['list', '--schema', 'shop', '--postgres', server.url]))).toEqual([
      UNAVAILABLE,
      expect.stringMatching(/npx nestjs-lock postgres migrate/),
    ]);
    expect(await end(cli(migrate))).toEqual([0, 'the schema was made, of version 1\n']);
    expect(await end(cli(migrate))).toEqual([0, 'the schema is of version 1 already\n']);
    const printed = cli(['postgres', 'migrate', '--schema', 'printed', '--print']);
    expect(await printed.ended).toBe(0);
    await server.query(printed.stdout);
    for (const schema of ['shop', 'printed']) {
      const list = cli(['list', '--schema', schema, '--postgres', server.url]);
      expect(await list.ended).toBe(0);
    }
    const nobody = cli(['postgres', 'migrate', '--postgres', 'postgres://127.0.0.1:1']);
    expect(await end(nobody)).toEqual([UNAVAILABLE, expect.stringMatching(/ECONNREFUSED 127/)]);
  });

  it('refuses what it cannot understand, in one line', async () => {
    expect(await end(cli(['list', '--redis', 'http://a:b@c']))).toEqual([
      USAGE,
      "nestjs-lock: --redis must be a redis:// or rediss:// URL, got 'http://***@c'\n",
    ]);
    expect(await end(cli(['lock', 'k']))).toEqual([
      USAGE,
      'nestjs-lock: unknown command lock: it must be run, list, inspect, release, dashboard or postgres; see --help\n',
    ]);
  });

  it('tells how it is used, and its version', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    const [help, ofRun, own] = await Promise.all([
      end(cli(['--help'])),
      end(cli(['run', '-h'])),
      end(cli(['--version'])),
    ]);
    expect(help).toEqual([0, expect.stringContaining('nestjs-lock run KEY')]);
    expect(ofRun).toEqual(help);
    expect(own).toEqual([0, `${version}\n`]);
  });
});
