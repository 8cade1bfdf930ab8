import type { Redis } from 'ioredis';
import { type BackendConnection, LockBackendError, type LockMode } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { redisScripts } from '../../lib/backends/redis/redis-scripts.js';
import { deadWaiter } from '../support/dead-waiter.js';
import { eventually } from '../support/eventually.js';
import { RedisServer } from '../support/redis-server.js';
import { RedisView } from '../support/redis-view.js';
import { openService } from '../support/two-processes.js';

/** How long a waiter lives without a sign of life, in milliseconds. */
const LIVENESS = 3_500;

const READ = { mode: 'shared', wait: 10_000 } as const;

let server: RedisServer;
let admin: Redis;
let view: RedisView;

beforeAll(async () => {
  server = await RedisServer.start();
  admin = server.client();
  view = new RedisView(admin);
});

beforeEach(() => admin.flushall());

afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

const open = () => openService(new RedisBackend({ url: server.url }));

/** A process that queued and died. */
async function bury(id: string, terms: string): Promise<void> {
  await admin.eval(redisScripts.acquire.source, ...deadWaiter(view.keyspace, 'k', id, terms));
}

async function modesOf(key: string): Promise<LockMode[]> {
  return (await open().inspect(key)).holders.map(({ mode }) => mode);
}

describe('readers and writers', () => {
  it('who are deaf are passed over by those who hear, and keep their place', async () => {
    const [writer, reader] = [open(), open()];
    const lock = await writer.acquire('k');
    await bury('deaf:1', '30000 s');
    const granted = reader.acquire('k', READ);
    await view.queued('k', 2);
    await eventually('the reader listens', async () => {
      return ((await admin.pubsub('CHANNELS')) as string[]).length === 2;
    });
    await lock.release();
    const next = await granted;
    expect(await view.waiters('k')).toBe(1);
    await next.release();
  });

  it('come in the order in which they are asked for, also in one turn', async () => {
    const connection = new RedisBackend({ url: server.url }).connect({
      id: 'one',
      warn: () => undefined,
      lost: () => undefined,
      revoked: () => undefined,
    });
    const ask = async (number: number, mode: LockMode) =>
      connection.acquire({
        ...{ id: `one:${number}`, key: 'k', ttl: 30_000, queue: true, reserve: 0 },
        ...{ mode, limit: 1 },
      });
    await connection.inspect('k');
    const asked = [ask(1, 'shared'), ask(2, 'exclusive'), ask(3, 'shared')];
    const answers = await Promise.all(asked);
    expect(answers.map(({ state }) => state)).toEqual(['granted', 'waiting', 'waiting']);
    await connection.close();
  });

  it('who died in the queue hold up those behind them for one deadline, however many', async () => {
    const [holder, reader] = [open(), open()];
    const lock = await holder.acquire('k', READ);
    for (let n = 0; n < 50; n++) await bury(`dead-${n}:1`, '30000');
    const start = performance.now();
    const next = await reader.acquire('k', READ);
    expect(performance.now() - start).toBeGreaterThan(LIVENESS - 500);
    await Promise.all([lock.release(), next.release()]);
  });

  it('of whom many die cost no memory while others go on', async () => {
    const readers = open();
    const dying = { ...READ, ttl: 1_000, renew: false };
    await Promise.all(Array.from({ length: 100 }, () => readers.acquire('k', dying)));
    const alive = await readers.acquire('k', READ);
    expect(await admin.hlen(view.keyspace.lockOf('k'))).toBe(102);
    await eventually('their end', async () => (await readers.inspect('k')).holders.length === 1);
    expect(await admin.hlen(view.keyspace.lockOf('k'))).toBe(2);
    const writer = open().acquire('k', { wait: 5_000 });
    await view.queued('k', 1);
    await alive.release();
    await (await writer).release();
  });

  it('cost a writer the ttl of the last of them, when they die', async () => {
    const readers = open();
    const start = performance.now();
    for (const ttl of [100, 700, 400]) {
      await readers.acquire('k', { ...READ, ttl, renew: false });
    }
    const writer = await open().acquire('k', { wait: 5_000 });
    expect(performance.now() - start).toBeGreaterThan(690);
    await writer.release();
  });

  it('hold a lock that a foreign key stands in the way of, each by itself', async () => {
    const service = open();
    await admin.hset(view.keyspace.lockOf('hash'), 'field', 'value');
    await admin.rpush(view.keyspace.lockOf('list'), 'value');
    const calls = ['hash', 'list', 'fine'].flatMap((key) =>
      [READ, { limit: 3 }].map((sharing) =>
        service.acquire(key, { ...sharing, wait: 2_000 }).then(
          (lock) => lock.mode,
          (error: unknown) => error,
        ),
      ),
    );
    const [hash, hash3, list, list3, fine] = await Promise.all(calls);
    for (const error of [hash, hash3, list, list3]) {
      expect(error).toBeInstanceOf(LockBackendError);
      expect(String(error)).toContain('choose another namespace');
    }
    expect(fine).toBe('shared');
    expect(await admin.hgetall(view.keyspace.lockOf('hash'))).toEqual({ field: 'value' });
  });

  it('a downgrade leaves the lease its time, and the reader beside it', async () => {
    const service = open();
    const lock = await service.acquire('k', { ttl: 2_000 });
    await lock.downgrade();
    expect(await admin.pttl(view.keyspace.lockOf('k'))).toBeLessThanOrEqual(2_000);
    await lock.renew('1h');
    await service.acquire('k', { ...READ, ttl: 500, renew: false });
    expect(await modesOf('k')).toEqual(['shared', 'shared']);
    expect(await admin.pttl(view.keyspace.lockOf('k'))).toBeGreaterThan(3_000_000);
    await lock.release();
    await view.untouched('k');
  });
});

describe('a lock that is kept', () => {
  it('is given to who waited already as soon as that is over', async () => {
    const [holder, waiter] = [open(), open()];
    const start = performance.now();
    const lock = await holder.acquire('k', { minHold: 1_000 });
    const granted = waiter.acquire('k', { wait: 10_000 });
    await view.queued('k', 1);
    await view.heard('k');
    await lock.release();
    const next = await granted;
    expect(performance.now() - start).toBeGreaterThan(995);
    await next.release();
  });

  it('among readers keeps out writers, and no readers', async () => {
    const [one, other] = [open(), open()];
    const lock = await one.acquire('k', { ...READ, minHold: 500 });
    await lock.release();
    await (await other.acquire('k', { mode: 'shared', wait: 0 })).release();
    expect(await other.tryAcquire('k')).toBeNull();
    expect((await other.inspect('k')).holders[0]?.owner).toMatchObject({ pid: process.pid });
    await (await other.acquire('k', { wait: 5_000 })).release();
  });

  it('as one of some permits is one permit less', async () => {
    const [one, other] = [open(), open()];
    const lock = await one.acquire('k', { limit: 2, minHold: 500 });
    await lock.release();
    const second = await other.acquire('k', { limit: 2, wait: 0 });
    expect(await other.tryAcquire('k', { limit: 2 })).toBeNull();
    await (await other.acquire('k', { limit: 2, wait: 5_000 })).release();
    await second.release();
  });
});

describe('the list of locks', () => {
  /** As many locks, as if somebody held them. */
  async function hold(count: number): Promise<void> {
    const pipeline = admin.pipeline();
    for (let n = 0; n < count; n++) {
      pipeline.set(view.keyspace.lockOf(`order:${n}`), `there:${n} ${n}`, 'PX', 60_000);
    }
    await pipeline.exec();
  }

  /** One of an operator, who holds nothing. */
  function connect(namespace = 'nestjs-lock'): BackendConnection {
    const connection = new RedisBackend({ url: server.url, namespace }).connect({
      id: 'operator',
      warn: () => undefined,
      lost: () => undefined,
      revoked: () => undefined,
    });
    connections.push(connection);
    return connection;
  }
  const connections: BackendConnection[] = [];

  afterEach(async () => {
    for (const connection of connections.splice(0)) await connection.close();
  });

  async function listed(connection: BackendConnection, pattern: string): Promise<string[]> {
    const keys = new Set<string>();
    for await (const key of connection.list(pattern)) keys.add(key);
    return [...keys].sort();
  }

  it('has every one of many among other keys, and no other', async () => {
    await hold(12_000);
    const pipeline = admin.pipeline();
    for (let n = 0; n < 12_000; n++) pipeline.set(`noise:${n}`, n);
    pipeline.set('{nestjs-lock:0}:queue:order:x', 'not a lock');
    pipeline.set('{nestjs-lock:1}:lock:order:x', 'of another bucket');
    await pipeline.exec();
    const operator = connect();
    expect(await listed(operator, 'order:*')).toHaveLength(12_000);
    const few = Array.from({ length: 10 }, (_, n) => `order:${11_990 + n}`);
    expect(await listed(operator, 'order:1199?')).toEqual(few);
  });

  it('takes a namespace, and what is in a key, by the letter', async () => {
    const namespace = 'a[b]*?\\';
    const service = openService(new RedisBackend({ url: server.url, namespace }));
    const other = openService(new RedisBackend({ url: server.url, namespace: 'ab' }));
    const locks = [await service.acquire('é{x}[1-3]^\\'), await service.acquire('é{x}1^')];
    await other.acquire('é{x}1^');
    const operator = connect(namespace);
    expect(await listed(operator, '?{x}*')).toEqual(['é{x}1^', 'é{x}[1-3]^\\']);
    expect(await listed(operator, '*[1-3]^\\')).toEqual(['é{x}[1-3]^\\']);
    expect(await listed(operator, 'é{x}?^')).toEqual(['é{x}1^']);
    for (const lock of locks) await lock.release();
  });

  it('is an error, and not a shorter list, when the connection is lost', async () => {
    await hold(5_000);
    const operator = connect();
    const keys = operator.list('*')[Symbol.asyncIterator]();
    expect((await keys.next()).done).toBe(false);
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await operator.inspect('order:1');
    const rest = async () => {
      while ((await keys.next()).done === false);
    };
    await expect(rest()).rejects.toBeInstanceOf(LockBackendError);
  });
});
