import { setImmediate } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { BackendConnection, LockBackend, LockRequest } from 'nestjs-lock';
import { RedisBackend, RedlockBackend } from 'nestjs-lock/redis';
import { eventually } from '../support/eventually.js';
import { RedisServer } from '../support/redis-server.js';
import { RedisView } from '../support/redis-view.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { openService, warnings } from '../support/two-processes.js';

const [TTL, WAIT] = [30_000, 20_000];

let server: RedisServer;
let admin: Redis;
let view: RedisView;
const connections: BackendConnection[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
  admin = server.client();
  view = new RedisView(admin);
});

afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.close();
  await admin.flushall();
});

afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

const open = () => openService(new RedisBackend({ url: server.url }));

function connect(id: string, backend: LockBackend): BackendConnection {
  const connection = backend.connect({
    id,
    warn: () => undefined,
    lost: () => undefined,
    revoked: () => undefined,
  });
  connections.push(connection);
  return connection;
}

function request(id: string, key: string, more: Partial<LockRequest> = {}): LockRequest {
  return { id, key, ttl: TTL, mode: 'exclusive', limit: 1, reserve: 0, queue: true, ...more };
}

/** Takes it, and returns it as it is renewed and released. */
async function hold(connection: BackendConnection, asked: LockRequest) {
  const answer = await connection.acquire(asked);
  if (answer.state !== 'granted') throw new Error(`${asked.key} is ${answer.state}`);
  return { ...asked, token: answer.token };
}

/** How often the server said so since the statistics were reset. */
async function errors(code: string): Promise<number> {
  const said = new RegExp(`^errorstat_${code}:count=(\\d+)`, 'm').exec(
    await admin.info('errorstats'),
  );
  return Number(said?.[1] ?? 0);
}

async function scripts(): Promise<number> {
  const statistics = await admin.info('commandstats');
  const calls = [...statistics.matchAll(/^cmdstat_eval(?:sha)?:calls=(\d+)/gm)];
  return calls.reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Since the server was started, or its statistics were reset. */
async function connectionsReceived(): Promise<number> {
  return Number(/^total_connections_received:(\d+)/m.exec(await admin.info('stats'))?.[1]);
}

describe('what is wrong with the server for a while', () => {
  it.each([
    [
      'NOREPLICAS',
      () => admin.config('SET', 'min-replicas-to-write', '1'),
      () => admin.config('SET', 'min-replicas-to-write', '0'),
    ],
    ['READONLY', () => admin.replicaof('127.0.0.1', 1), () => admin.replicaof('NO', 'ONE')],
  ])('does not end the waiting: %s', async (code, begin, end) => {
    const lock = await open().acquire('k', { ttl: TTL });
    const waiting = open().acquire('k', { wait: WAIT });
    await view.queued('k', 1);
    await admin.config('RESETSTAT');
    await begin();
    try {
      // A heartbeat, and not the renewal, whose turn is later.
      await eventually('a heartbeat in vain', async () => (await errors(code)) > 0);
    } finally {
      await end();
    }
    await lock.release();
    expect((await waiting).held).toBe(true);
  });
});

describe('without any memory left', () => {
  let nodes: RedisServer[];

  beforeAll(async () => {
    nodes = [server, await RedisServer.start(), await RedisServer.start()];
  });

  afterAll(() => Promise.all(nodes.slice(1).map((node) => node.stop())));

  const limitMemory = (bytes: number) =>
    Promise.all(
      nodes.map(async (node) => {
        const client = node.client();
        await client.config('SET', 'maxmemory', bytes);
        client.disconnect();
      }),
    );

  afterEach(() => limitMemory(0));

  const backends: [string, () => LockBackend][] = [
    ['Redis', () => new RedisBackend({ url: server.url })],
    ['Redis with a guard', () => new RedisBackend({ url: server.url, failoverGrace: 'on' })],
    ['Redlock', () => new RedlockBackend({ nodes: nodes.map(({ url }) => url) })],
  ];

  it.each(backends)('all leases are renewed, kept and released: %s', async (_, make) => {
    const connection = connect('one', make());
    const shared = { mode: 'shared', limit: 1 } as const;
    const leases = [
      await hold(connection, request('one:1', 'reader', shared)),
      await hold(connection, request('one:2', 'writer')),
      await hold(connection, request('one:3', 'kept reader', shared)),
      await hold(connection, request('one:4', 'kept writer')),
    ];
    if (make().supports.limit) {
      leases.push(await hold(connection, request('one:5', 'permit', { limit: 2 })));
    }
    await limitMemory(1);
    // Twice as long, so that there is something to write down, also at the guard.
    const longer = leases.map((lease) => ({ ...lease, ttl: 2 * TTL }));
    for (const lease of longer) expect(await connection.renew([lease])).toEqual([true]);
    for (const lease of longer) {
      const keepFor = lease.key.startsWith('kept') ? 1_000 : 0;
      expect(await connection.release(lease, keepFor)).toBe(true);
    }
  });

  it('a reader is renewed also after the end that it was granted with', async () => {
    const connection = connect('one', new RedisBackend({ url: server.url }));
    const asked = request('one:1', 'reader', { mode: 'shared', ttl: 500 });
    const lease = { ...(await hold(connection, asked)), ttl: TTL };
    expect(await connection.renew([lease])).toEqual([true]);
    const [lock] = view.keyspace.of('reader');
    const end = Number((await admin.hget(lock, '#'))?.split(' ')[1]);
    await eventually('that end', async () => {
      const [seconds, micros] = await admin.time();
      return 1_000 * Number(seconds) + Math.floor(Number(micros) / 1_000) > end;
    });
    await limitMemory(1);
    expect(await connection.renew([{ ...lease, ttl: 2 * TTL }])).toEqual([true]);
  });
});

describe('a key that does not expire', () => {
  it.each([
    ['as somebody made its lock persist', () => admin.persist(view.keyspace.lockOf('k'))],
    [
      'as it is somebody else’s',
      () => admin.set(view.keyspace.lockOf('k'), 'a value of another kind'),
    ],
  ])('is looked at no more often than others: %s', async (_, make) => {
    const [holder, service] = [open(), open()];
    await holder.acquire('k', { ttl: TTL });
    await holder.acquire('other', { ttl: TTL });
    await make();
    const ended = new AbortController();
    const waiting = ['k', 'other'].map((key) =>
      service.acquire(key, { wait: WAIT, signal: ended.signal }).catch(() => undefined),
    );
    await view.queued('k', 1);
    await view.queued('other', 1);
    await admin.config('RESETSTAT');
    const [, , deadlines] = view.keyspace.of('other');
    const before = await admin.zrange(deadlines, 0, '0', 'WITHSCORES');
    await eventually('the next heartbeat', async () => {
      const [, now] = await admin.zrange(deadlines, 0, '0', 'WITHSCORES');
      return now !== before[1];
    });
    expect(await scripts()).toBeLessThan(5);
    ended.abort();
    await Promise.all(waiting);
  });

  it('is none that a downgrade in the last millisecond leaves', async () => {
    const connection = connect('one', new RedisBackend({ url: server.url }));
    const lock = view.keyspace.lockOf('k');
    let left = 0;
    // The last millisecond is one in which PTTL says 0.
    for (let number = 1; left !== -1 && number < 300; number++) {
      const lease = await hold(connection, request(`one:${number}`, 'k'));
      const moment = String(1 + Math.floor(number / 150));
      await admin.pexpire(lock, moment);
      const end = performance.now() + Number(moment) - 0.5 + (number % 50) / 50;
      while (performance.now() < end);
      await connection.downgrade(lease);
      left = await admin.pttl(lock);
      await admin.del(lock);
    }
    expect(left).not.toBe(-1);
  });
});

describe('what is wrong with one key', () => {
  it('does not stop the others: a queue that is somebody else’s', async () => {
    const connection = connect('one', new RedisBackend({ url: server.url }));
    const leases = [
      await hold(connection, request('one:1', 'odd')),
      await hold(connection, request('one:2', 'even')),
    ];
    const other = connect('two', new RedisBackend({ url: server.url }));
    const answer = await other.acquire(request('two:1', 'even'));
    if (answer.state !== 'waiting') throw new Error(`it is ${answer.state}`);
    await admin.set(view.keyspace.of('odd')[1], 'not a queue');
    const released = leases.map(async (lease) => connection.release(lease, 0));
    expect(await Promise.all(released)).toEqual([true, true]);
    expect((await answer.granted).state).toBe('granted');
  });
});

describe('the check at the start', () => {
  it.each([
    [
      'OOM',
      () => admin.config('SET', 'maxmemory', '1'),
      () => admin.config('SET', 'maxmemory', '0'),
    ],
    [
      'NOREPLICAS',
      () => admin.config('SET', 'min-replicas-to-write', '1'),
      () => admin.config('SET', 'min-replicas-to-write', '0'),
    ],
  ])('takes no other trouble for a right that lacks: %s', async (_, begin, end) => {
    await admin.config('RESETSTAT');
    await begin();
    try {
      open();
      await eventually('the check', async () =>
        (await admin.info('commandstats')).includes('zcount'),
      );
    } finally {
      await end();
    }
    // Its answer has come before that of what is asked after it.
    await (await open().acquire('k')).release();
    expect(warnings.filter((warning) => warning.includes('right'))).toEqual([]);
  });
});

describe('an event loop that is busy for longer than a command may take', () => {
  it.each<[string, () => LockBackend]>([
    ['Redis', () => new RedisBackend({ url: server.url, commandTimeout: 100 })],
  ])('finds the replies that came meanwhile, on the same connection: %s', async (_, make) => {
    const connection = connect('one', make());
    await hold(connection, request('one:1', 'k'));
    const before = await connectionsReceived();
    const asked = Array.from({ length: 40 }, async (__, index) =>
      connection.acquire(request(`one:${index + 2}`, `k${index}`)),
    );
    await setImmediate();
    const end = performance.now() + 200;
    while (performance.now() < end);
    const answers = await Promise.all(asked);
    expect(answers.every(({ state }) => state === 'granted')).toBe(true);
    expect(await connectionsReceived()).toBe(before);
  });
});

describe('a server that has become a replica', () => {
  it('is left once, however many find out, and then more and more seldom', async () => {
    const service = open();
    await (await service.acquire('warm')).release();
    const before = await connectionsReceived();
    await admin.replicaof('127.0.0.1', 1);
    const asked = Array.from({ length: 20 }, (_, index) =>
      service.acquire(`k${index}`, { wait: WAIT }),
    );
    try {
      await eventually('three new connections', async () => {
        return (await connectionsReceived()) >= before + 3;
      });
      // By then each of the twenty has asked several times on each connection.
      await admin.config('RESETSTAT');
      await eventually('more attempts', async () => (await errors('READONLY')) > 60);
      expect(await connectionsReceived()).toBeLessThan(4);
    } finally {
      await admin.replicaof('NO', 'ONE');
    }
    for (const lock of await Promise.all(asked)) await lock.release();
  });
});

describe('several keys at once, whose caller gave up while there was no connection', () => {
  it('are not asked for when it is back', async () => {
    const proxy = await TcpProxy.start(server.port);
    const connection = connect('one', new RedisBackend({ url: proxy.url }));
    await hold(connection, request('one:1', 'first'));
    await proxy.refuse();
    await eventually('no connection', () => connection.troubleWith('a') !== undefined);
    const asked = [request('one:2', 'a'), request('one:3', 'b')];
    const all = connection.acquireAll?.(asked).then(
      () => 'granted',
      () => 'given up',
    );
    await Promise.all(asked.map((one) => connection.cancel(one)));
    const locks = asked.map(({ key }) => view.keyspace.lockOf(key));
    const monitor = await admin.monitor();
    const seen: string[] = [];
    monitor.on('monitor', (_: string, args: string[]) => seen.push(...args));
    await proxy.admit();
    await hold(connection, request('one:4', 'last'));
    expect(await all).toBe('given up');
    await eventually('the last one', () => seen.includes(view.keyspace.lockOf('last')));
    monitor.disconnect();
    expect(seen.filter((name) => locks.includes(name))).toEqual([]);
    await connection.close();
    await proxy.stop();
  });
});
