import { inspect } from 'node:util';
import * as library from 'nestjs-lock';
import {
  LockBackendError,
  LockInterceptor,
  LockLostError,
  LockModule,
  LockService,
  LockTimeoutError,
  MemoryBackend,
} from 'nestjs-lock';
import { EtcdBackend, type EtcdBackendOptions } from 'nestjs-lock/etcd';
import {
  RedisBackend,
  type RedisBackendOptions,
  RedlockBackend,
  type RedlockBackendOptions,
} from 'nestjs-lock/redis';
import { loggable } from '../support/loggable.js';

let locks: LockService;

beforeEach(() => {
  locks = new LockService({ backend: new MemoryBackend(), label: 'web' }, 'shop');
});

afterEach(() => locks.close());

const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

/** Of a token or a time. */
const number = expect.any(Number) as unknown;

describe('what is logged', () => {
  it('of a lock is what it is held for and for how long', async () => {
    const lock = await locks.acquire('order:7');
    const { fencingToken } = lock;
    const facts = { key: 'order:7', mode: 'exclusive', fencingToken };
    expect(json({ lock })).toEqual({ lock: { ...facts, held: true, remaining: number } });
    expect(inspect({ lock })).toMatch(
      /^\{\s+lock: Lock \{\s+key: 'order:7',\s+mode: 'exclusive',\s+fencingToken: \d+,\s+held: true,\s+remaining: \d+\s+\}\s+\}$/,
    );
    expect(inspect({ a: { b: { c: lock } } })).toContain('[Lock]');
    await lock.release();
    expect(json(lock)).toEqual({ ...facts, held: false, remaining: 0, released: true });
  });

  it('of a lost lock is why', async () => {
    const lock = await locks.acquire('order:7');
    await locks.forceRelease('order:7');
    expect(json(lock)).toMatchObject({ held: false, remaining: 0, lost: 'stolen' });
    expect(inspect(lock)).toContain("lost: 'stolen'");
  });

  it('of a lock of several keys is the token of each', async () => {
    const lock = await locks.acquire(['b', 'a']);
    expect(json(lock)).toEqual({
      keys: ['a', 'b'],
      mode: 'exclusive',
      fencingTokens: { a: lock.fencingTokenOf('a'), b: lock.fencingTokenOf('b') },
      held: true,
      remaining: number,
    });
    expect(inspect(lock)).toMatch(/^Lock \{\s+keys: \[ 'a', 'b' \]/);
    await locks.forceRelease('b');
    expect(json(lock)).toMatchObject({ held: false, lost: 'stolen' });
    await lock.release();
  });

  it('of a leadership is its term', async () => {
    const leadership = locks.leader('boss');
    expect(json(leadership)).toEqual({ key: 'boss', isLeader: false });
    await new Promise((resolve) => leadership.onElected(resolve));
    expect(json(leadership)).toMatchObject({ isLeader: true, term: { key: 'boss', held: true } });
    expect(inspect(leadership)).toMatch(/^Leadership \{\s+key: 'boss',\s+isLeader: true,/);
  });

  it('of a service is its name and its backend', () => {
    expect(json(locks)).toEqual({ name: 'shop', label: 'web', backend: 'memory' });
    expect(inspect(locks)).toBe("LockService { name: 'shop', label: 'web', backend: 'memory' }");
    expect(inspect(new LockService())).toBe("LockService { backend: 'memory' }");
  });

  it('of a backend is its namespace', () => {
    const redis = new RedisBackend({ url: 'redis://:secret@host', namespace: 'shop' });
    expect(json({ redis })).toEqual({ redis: { name: 'redis', namespace: 'shop' } });
    expect(inspect(redis)).toBe("RedisBackend { name: 'redis', namespace: 'shop' }");
  });

  it('of an error is what it says, also as JSON', () => {
    const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    const error = new LockBackendError('down', 'k', { cause: refused });
    expect(json({ error })).toEqual({
      error: {
        name: 'LockBackendError',
        message: 'down',
        code: 'LOCK_BACKEND',
        key: 'k',
        cause: { name: 'Error', message: 'refused', code: 'ECONNREFUSED' },
      },
    });
    expect(json(new LockTimeoutError('k', 0))).toMatchObject({ wait: 0, name: 'LockTimeoutError' });
    const lost = new LockLostError('k', 'backend', { cause: error });
    expect(json(lost)).toMatchObject({
      reason: 'backend',
      cause: { cause: { message: 'refused' } },
    });
  });

  it('of what a lock is in is not the inside of it', async () => {
    const lock = await locks.acquire('order:7');
    const several = await locks.acquire(['a', 'b']);
    const all = [lock, several, locks, new LockInterceptor(locks), locks.manager()];
    for (const one of all) expect(loggable(one)).not.toMatch(/upkeep|renewer|processId/i);
    await Promise.all([lock.release(), several.release()]);
  });
});

describe('a cause', () => {
  const secret = 'hunter2';
  const login = { name: 'hello', args: ['3', 'AUTH', 'default', secret] };
  const failed = () => Object.assign(new RangeError('WRONGPASS'), { code: 'AUTH', command: login });

  function causeOf(cause: unknown): Error & Record<string, unknown> {
    const error = new LockBackendError('down', 'k', { cause });
    expect(loggable(error)).not.toContain(secret);
    return error.cause as Error & Record<string, unknown>;
  }

  it('says what it says, and nothing of the command that failed', () => {
    const original = failed();
    const cause = causeOf(original);
    expect(cause).toBeInstanceOf(Error);
    expect(cause).toMatchObject({ name: 'RangeError', message: 'WRONGPASS', code: 'AUTH' });
    expect(cause.stack).toBe(original.stack);
    expect(original.command).toBe(login);
  });

  it('is as it was when it has nothing else', () => {
    const plain = new RangeError('refused', { cause: new Error('before') });
    expect(causeOf(plain)).toBe(plain);
    const own = new LockLostError('k', 'stolen');
    expect(causeOf(own)).toBe(own);
    expect(causeOf('in words')).toBe('in words');
    expect(causeOf(undefined)).toBeUndefined();
  });

  it('has causes and several errors that say no more', () => {
    expect(causeOf(new Error('outer', { cause: failed() })).cause).toMatchObject({ code: 'AUTH' });
    const several = causeOf(new AggregateError([failed(), new Error('b')], 'all failed'));
    expect(several).toMatchObject({ message: 'all failed', name: 'AggregateError' });
    expect(several.errors).toMatchObject([{ message: 'WRONGPASS' }, { message: 'b' }]);
    causeOf({ message: 'no error', secret });
    causeOf({ secret });
  });

  it('may be its own', () => {
    const cause = failed();
    cause.cause = cause;
    expect(causeOf(cause).message).toBe('WRONGPASS');
    const plain = new Error('plain');
    plain.cause = plain;
    expect(JSON.stringify(new LockBackendError('down', 'k', { cause: plain }))).toContain('plain');
  });

  it('shows no credentials of a URL in its words', () => {
    const cause = causeOf(new Error(`cannot reach redis://user:${secret}@host:6379/0`));
    expect(cause.message).toBe('cannot reach redis://***@host:6379/0');
  });
});

describe('a mistyped address shows its password nowhere', () => {
  const secret = 'p4ss';
  const addresses = [
    `tcp://:${secret}@host:6379`,
    `redis:/:${secret}@host:6379`,
    `redis//:${secret}@host:6379`,
    `redis:${secret}@host:6379`,
    `:${secret}@host:6379`,
    `user:${secret}@host`,
    `${secret}@host`,
    `redis://:${secret} ${secret}@host:6379`,
    `redis://:${secret}@${secret}@host:63790000`,
    `redis://:a/${secret}@host:6379`,
    `redis://:a#${secret}@host:6379`,
    `redis://:a?${secret}@host:6379`,
    `redis://:${secret}host:6379`,
    `http://host:6379?password=${secret}`,
    `redi://host?db=1&password=${secret}`,
    `host?${secret}`,
  ];
  const redis = (options: object) => new RedisBackend(options as RedisBackendOptions);
  const redlock = (options: object) => new RedlockBackend(options as RedlockBackendOptions);
  const etcd = (options: object) => new EtcdBackend(options as EtcdBackendOptions);
  const module = (options: object) => LockModule.forRoot(options);
  const service = (options: object) => new LockService(options);
  const ways: [string, (address: string) => unknown][] = [
    ['RedisBackend, url', (url) => redis({ url })],
    ['RedisBackend, instead of options', (url) => redis(url as never)],
    ['RedisBackend, options', (options) => redis({ options })],
    ['RedisBackend, client', (client) => redis({ client })],
    ['RedisBackend, cluster', (one) => redis({ cluster: ['redis://one', one] })],
    ['RedisBackend, cluster without a list', (cluster) => redis({ cluster })],
    ['RedisBackend, an unknown option', (uri) => redis({ uri })],
    ['RedlockBackend, nodes', (one) => redlock({ nodes: ['redis://a', 'redis://b', one] })],
    ['RedlockBackend, nodes without a list', (nodes) => redlock({ nodes })],
    ['RedlockBackend, an unknown option', (urls) => redlock({ nodes: [], urls })],
    ['EtcdBackend, hosts', (one) => etcd({ hosts: ['http://a:b@one', one] })],
    ['EtcdBackend, client', (client) => etcd({ client })],
    ['EtcdBackend, an unknown option', (url) => etcd({ hosts: 'http://one', url })],
    ['LockModule, instead of options', (url) => module(url as never)],
    ['LockService, backend', (backend) => service({ backend })],
    ['LockService, an unknown option', (url) => service({ url })],
    ['an object instead of a url', (url) => redis({ url: { url, password: secret } })],
    ['an object instead of a client', (host) => redis({ client: { host, password: secret } })],
    ['an object instead of a node', (host) => redlock({ nodes: [{ host }, { host }, { host }] })],
    ['an object instead of a backend', (url) => service({ backend: { url } })],
    ['an object as an unknown option', (url) => service({ redis: { url, password: secret } })],
    ['an array as an unknown option', (url) => service({ nodes: [url, { url }] })],
  ];

  it.each(ways)('%s', (_, use) => {
    const refused = addresses.flatMap((address) => {
      try {
        use(address);
        return [];
      } catch (error) {
        return [error];
      }
    });
    // Some are URLs all the same, though of another server.
    expect(refused.length).toBeGreaterThan(addresses.length / 2);
    for (const error of refused) {
      expect(error).toBeInstanceOf(library.LockConfigurationError);
      expect(loggable(error)).not.toContain(secret);
    }
  });

  it.each([
    ['localhost:6379', "'localhost:6379'"],
    ['http://[::1]:6379/1', "'http://[::1]:6379/1'"],
    ['tcp://:a@host:6379', "'tcp://***@host:6379'"],
    ['redis:/:a@host', "'redis:/***@host'"],
    ['tcp://host?password=a&db=1', "'tcp://host?password=***&db=***'"],
    ['two words', "'***'"],
  ])('while the rest of %s is shown', (url, text) => {
    expect(() => redis({ url })).toThrow(`got ${text}`);
  });

  it.each(['password', 'authToken', 'clientSecret', 'apiKey'])('nor an unknown %s', (option) => {
    expect(() => service({ [option]: secret })).toThrow(`unknown option '${option}', got ***`);
  });
});

describe('names in a bundle, where classes have others', () => {
  const kinds = Object.entries(library).filter(
    (entry): entry is [string, typeof library.LockLostError] =>
      typeof entry[1] === 'function' && /.Error$/.test(entry[0]) && entry[0] !== 'LockError',
  );

  it.each(kinds)('%s', (kind, original) => {
    expect(kinds.length).toBeGreaterThan(5);
    const source = String(original).replace(/^class \w+/, 'class _a');
    expect(source).toMatch(/^class _a /);
    // What else is in its scope has no part in its name.
    const known: Record<string, unknown> = { LockError: library.LockError, [kind]: original };
    const words: object = new Proxy(() => 'words', { get: () => 'words' });
    const scope = new Proxy(known, {
      has: (_, name) => typeof name === 'string' && !(name in globalThis),
      get: (_, name) => (typeof name === 'string' ? (known[name] ?? words) : undefined),
    });
    // eslint-disable-next-line @typescript-eslint/no-implied-eval -- so that only its name is another
    const rename = new Function('scope', `with (scope) return ${source}`) as (
      scope: unknown,
    ) => new (...args: unknown[]) => Error;
    const error = new (rename(scope))('k', 'stolen');
    expect(error.name).toBe(kind);
    expect(error.constructor.name).toBe(kind);
    expect(inspect(error)).not.toContain('_a');
    expect(error.stack).toMatch(new RegExp(`^${kind}: `));
  });
});
