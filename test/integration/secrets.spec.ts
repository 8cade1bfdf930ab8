import { Redis } from 'ioredis';
import { type Lock, LockInterceptor, type LockBackend, LockService } from 'nestjs-lock';
import { EtcdBackend } from 'nestjs-lock/etcd';
import { RedisBackend, RedlockBackend } from 'nestjs-lock/redis';
import { EtcdServer } from '../support/etcd-server.js';
import { loggable } from '../support/loggable.js';
import { RedisServer } from '../support/redis-server.js';

const secret = 'hunter2-s3cret';
const wrong = 'old-s3cret';

let servers: RedisServer[];
let etcd: EtcdServer;

beforeAll(async () => {
  servers = await Promise.all([1, 2, 3].map(() => RedisServer.start(['--requirepass', secret])));
  etcd = await EtcdServer.start();
});

afterAll(async () => {
  await Promise.all([...servers.map((server) => server.stop()), etcd.stop()]);
});

const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function urls(password: string, user = ''): string[] {
  return servers.map(({ port }) => `redis://${user}:${password}@127.0.0.1:${port}`);
}

function client(password: string): Redis {
  const redis = new Redis(urls(password)[0]!, { lazyConnect: true });
  closing.push(() => {
    redis.disconnect();
  });
  return redis;
}

function serviceOn(backend: LockBackend): LockService {
  const locks = new LockService({ backend, shutdownGrace: 0 });
  closing.push(() => locks.close());
  return locks;
}

it.each<[string, () => LockBackend]>([
  ['Redis by URL', () => new RedisBackend({ url: urls(secret)[0]! })],
  ['Redis by options', () => new RedisBackend({ options: { ...client(secret).options } })],
  ['Redis by a client', () => new RedisBackend({ client: client(secret) })],
  ['a quorum of URLs', () => new RedlockBackend({ nodes: urls(secret) })],
  [
    'a quorum of clients',
    () => new RedlockBackend({ nodes: [client(secret), ...urls(secret).slice(1)] }),
  ],
])('nothing that is given out on %s shows the password', async (_, make) => {
  const backend = make();
  const locks = serviceOn(backend);
  const lock = await locks.acquire('order:7');
  const several = await locks.acquire(['a', 'b']);
  const leadership = locks.leader('boss');
  const term = await new Promise((resolve) => leadership.onElected(resolve));
  const lost = await locks.acquire('lost');
  await locks.forceRelease('lost');
  const all = { lock, several, leadership, term, lost, locks, backend };
  const around = { manager: locks.manager(), interceptor: new LockInterceptor(locks) };
  await locks.withLock('in', (inner: Lock) => {
    expectNoSecret({ inner, signal: inner.signal, current: locks.current() });
  });
  await locks.manager().request('web', (webLock) => {
    expectNoSecret(webLock);
  });
  for (const one of Object.values({ ...all, ...around })) expectNoSecret(one);
  expectNoSecret([lost.signal.reason, await locks.inspect('order:7')]);
});

it.each<[string, () => LockBackend]>([
  ['Redis by URL', () => new RedisBackend({ url: urls(wrong)[0]! })],
  ['Redis with a user', () => new RedisBackend({ url: urls(wrong, 'somebody')[0]! })],
  ['Redis by a client', () => new RedisBackend({ client: client(wrong) })],
  ['a quorum', () => new RedlockBackend({ nodes: urls(wrong) })],
])('the error of a wrong password on %s does not show it', async (_, make) => {
  const error = await serviceOn(make())
    .acquire('x', { wait: 1_500 })
    .catch((failure: unknown) => failure);
  expect(error).toMatchObject({ code: 'LOCK_BACKEND', key: 'x' });
  expectNoSecret(error);
});

it('the error of a wrong password says in its cause what Redis said', async () => {
  const locks = serviceOn(new RedisBackend({ url: urls(wrong)[0]! }));
  await expect(locks.acquire('x', { wait: 1_500 })).rejects.toMatchObject({
    cause: { cause: { name: 'ReplyError', message: expect.stringMatching(/WRONGPASS/) as string } },
  });
});

it('nothing that is given out on etcd shows the password', async () => {
  const auth = { username: 'root', password: secret };
  const backend = new EtcdBackend({ hosts: etcd.url, auth });
  const locks = serviceOn(backend);
  // It knows no users.
  const error = await locks.acquire('x').catch((failure: unknown) => failure);
  expect(error).toMatchObject({ code: 'LOCK_BACKEND' });
  for (const one of [error, locks, backend]) expectNoSecret(one);
});

it('a lock on etcd shows nothing of its client', async () => {
  const locks = serviceOn(new EtcdBackend({ hosts: etcd.url }));
  const lock = await locks.acquire('x');
  expect(loggable(lock)).not.toContain(String(etcd.port));
});

function expectNoSecret(value: unknown): void {
  const text = loggable(value);
  for (const one of [secret, wrong]) expect(text).not.toContain(one);
}
