import { jest } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import ts from 'typescript';
import {
  type BackendConnection,
  type LockBackend,
  LockBackendError,
  LockKeyError,
  LockLostError,
  type LockProcess,
  LockReentrancyError,
  LockService,
  LockShutdownError,
  MemoryBackend,
  type WebLock,
  type WebLockInfo,
  type WebLockManager,
  type WebLockOptions,
} from 'nestjs-lock';
import { eventually } from '../support/eventually.js';

// After the Web Locks API (https://w3c.github.io/web-locks/) and its web-platform-tests.

let backend: MemoryBackend;
let services: LockService[];
let locks: WebLockManager;

/** What the standard calls a client: a process with its own LockService. */
function client(): LockService {
  const service = new LockService({ backend, shutdownGrace: 0 });
  services.push(service);
  return service;
}

/** The backend, with some of its methods replaced. */
function changed(change: (right: BackendConnection) => Partial<BackendConnection>): LockBackend {
  const { name, minTtl, supports } = backend;
  const connect = (process: LockProcess) => {
    const right = backend.connect(process);
    return { ...right, ...change(right) };
  };
  return { name, minTtl, supports, connect };
}

beforeEach(() => {
  backend = new MemoryBackend();
  services = [];
  locks = client().manager();
});

afterEach(() => Promise.all(services.map((service) => service.close())));

/** Something to hold a lock for. */
function gate<T = void>(): { passed: Promise<T>; open: (value: T) => void } {
  let open!: (value: T) => void;
  const passed = new Promise<T>((resolve) => (open = resolve));
  return { passed, open };
}

/** Holds a lock until it is let go; resolves once it is held. */
async function hold(manager: WebLockManager, name: string, options: WebLockOptions = {}) {
  const [granted, end] = [gate(), gate<string>()];
  const request = manager.request(name, options, () => {
    granted.open();
    return end.passed;
  });
  request.catch(() => undefined);
  await granted.passed;
  return { request, letGo: end.open };
}

async function holds(name: string): Promise<boolean> {
  return (await locks.query()).held.some((info) => info.name === name);
}

const modesOf = (infos: WebLockInfo[]) => infos.map(({ mode }) => mode);

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('the arguments', () => {
  const body = () => 'ran';
  const { signal } = new AbortController();
  const request = (...args: unknown[]): Promise<unknown> =>
    Reflect.apply(locks.request.bind(locks), undefined, args) as Promise<unknown>;

  it.each<[string, unknown[]]>([
    ['nothing', []],
    ['a name alone', ['k']],
    ['a symbol as name', [Symbol('k'), body]],
    ['undefined as callback', ['k', undefined]],
    ['null as callback', ['k', null]],
    ['an object as callback', ['k', {}]],
    ['a promise as callback', ['k', Promise.resolve()]],
    ['options without a callback', ['k', { mode: 'shared' }, undefined]],
    ['a callback in the place of the options', ['k', body, undefined]],
    ['a number as options', ['k', 7, body]],
    ['a string as options', ['k', 'shared', body]],
    ['an unknown mode', ['k', { mode: 'foo' }, body]],
    ['null as mode', ['k', { mode: null }, body]],
    ['an array of the modes', ['k', { mode: ['shared', 'exclusive'] }, body]],
    ['null as signal', ['k', { signal: null }, body]],
    ['a controller as signal', ['k', { signal: new AbortController() }, body]],
    ['a false signal', ['k', { signal: false }, body]],
  ])('%s is refused with a TypeError', async (_, args) => {
    const error = await failure(request(...args));
    expect(error).toHaveProperty('name', 'TypeError');
  });

  it.each<[string, unknown[]]>([
    ['a name that starts with a dash', ['-k', body]],
    ['a dash as name', ['-', body]],
    ['steal and ifAvailable', ['k', { steal: true, ifAvailable: true }, body]],
    ['steal in shared mode', ['k', { steal: true, mode: 'shared' }, body]],
    ['steal with a signal', ['k', { steal: true, signal }, body]],
    ['ifAvailable with a signal', ['k', { ifAvailable: true, signal }, body]],
    [
      'ifAvailable with an aborted signal',
      ['k', { ifAvailable: true, signal: AbortSignal.abort() }, body],
    ],
  ])('%s is not supported', async (_, args) => {
    const error = await failure(request(...args));
    expect(error).toBeInstanceOf(DOMException);
    expect(error).toHaveProperty('name', 'NotSupportedError');
  });

  it.each<[string, unknown[]]>([
    ['no options', ['k', undefined, body]],
    ['null for options', ['k', null, body]],
    ['a function for options', ['k', () => undefined, body]],
    ['members that are undefined', ['k', { mode: undefined, signal: undefined }, body]],
    ['members that nobody knows', ['k', { wait: 'NaN' }, body]],
    ['what is true or false in the end', ['k', { ifAvailable: 1, steal: 0, mode: 'shared' }, body]],
    ['an object that reads as a mode', ['k', { mode: ['shared'] }, body]],
    ['an argument too many', ['k', {}, body, 'more']],
    ['a name with a dash in it', ['a-b', body]],
  ])('%s will do', async (_, args) => {
    await expect(request(...args)).resolves.toBe('ran');
  });

  it.each([
    [7, '7'],
    [null, 'null'],
    [{ toString: () => 'text', valueOf: (): string => 'value' }, 'text'],
  ])('a name is made a string: %j', async (name, text) => {
    await expect(request(name, (lock: WebLock) => lock.name)).resolves.toBe(text);
  });

  it('options that throw are refused with what they throw', async () => {
    const options = Object.defineProperty({}, 'mode', {
      get: () => {
        throw new RangeError('no mode');
      },
    });
    await expect(request('k', options, body)).rejects.toThrow('no mode');
  });

  it.each([
    ['a zero in it', 'abc\0def'],
    ['no character', '\uFFFF'],
    ['letters of all kinds', 'ünï/çødé {x}'],
    ['1024 bytes', 'a'.repeat(1024)],
  ])('any text is a name: %s', async (_, name) => {
    await expect(locks.request(name, (lock) => lock?.name)).resolves.toBe(name);
  });

  it.each([
    ['nothing', ''],
    ['a lone surrogate', '\uD800'],
    ['a swapped pair', '\uDC00\uD800'],
    ['1025 bytes', 'a'.repeat(1025)],
  ])('what cannot be a key is refused, and never taken for another: %s', async (_, name) => {
    await expect(locks.request(name, () => 'ran')).rejects.toBeInstanceOf(LockKeyError);
  });

  it('methods that lost their object reject', async () => {
    const { request: alone } = locks; // eslint-disable-line @typescript-eslint/unbound-method
    const error = await failure(alone('k', () => 'ran'));
    expect(error).toHaveProperty('name', 'TypeError');
  });
});

describe('a request', () => {
  it('never calls back before it has returned', async () => {
    let called = false;
    const request = locks.request('k', () => (called = true));
    expect(called).toBe(false);
    await request;
    expect(called).toBe(true);
  });

  it('gives the callback a lock with a name and a mode, which stay as they are', async () => {
    await locks.request('k', { mode: 'shared' }, (lock) => {
      expect(lock).toEqual({ name: 'k', mode: 'shared' });
      expect(() => {
        (lock as { name: string }).name = 'other';
      }).toThrow();
    });
    await expect(locks.request('k', (lock) => lock?.mode)).resolves.toBe('exclusive');
  });

  it('is a promise of what the callback comes to', async () => {
    const request = locks.request('k', () => 123);
    expect(Promise.resolve(request)).toBe(request);
    await expect(request).resolves.toBe(123);
    await expect(locks.request('k', async () => 'later')).resolves.toBe('later');
  });

  it('is settled after the promise that the lock is held for, and after the release', async () => {
    const { passed, open } = gate();
    const order: string[] = [];
    const request = locks.request('k', () => passed).then(() => order.push('request'));
    void passed.then(() => order.push('held for'));
    open();
    await request;
    expect(order).toEqual(['held for', 'request']);
    expect(await holds('k')).toBe(false);
  });

  // As nobody asks what it is, it need not be an error, nor be asked for its `then`.
  const thrown = { then: jest.fn() } as unknown as Error;

  it.each([
    ['rejects', () => Promise.reject(thrown)],
    [
      'throws',
      () => {
        throw thrown;
      },
    ],
  ])('rejects with just what the callback %s, and gives the lock back', async (_, body) => {
    const told = locks.request('k', body).catch((error: unknown) => [error]);
    expect(await told).toEqual([thrown]);
    expect(thrown).toHaveProperty('then.mock.calls', []);
    expect(await holds('k')).toBe(false);
  });

  it('holds the lock until the promise of the callback resolves', async () => {
    const { letGo } = await hold(locks, 'k');
    const order: string[] = [];
    const second = locks.request('k', () => order.push('second'));
    await sleep(20);
    order.push('let go');
    letGo('');
    await second;
    expect(order).toEqual(['let go', 'second']);
  });

  it('holds the lock until the promise of the callback rejects', async () => {
    const order: string[] = [];
    const first = locks.request('k', async () => {
      await sleep(20);
      order.push('first');
      throw new Error('mine');
    });
    const second = locks.request('k', () => order.push('second'));
    await expect(first).rejects.toThrow('mine');
    await second;
    expect(order).toEqual(['first', 'second']);
  });

  it('runs under its lock, so that the service knows its token', async () => {
    const service = client();
    const token = await service.manager().request('k', () => service.current('k')?.fencingToken);
    const next = await service.manager().request('k', () => service.current()?.fencingToken);
    expect(next).toBeGreaterThan(token!);
    expect(service.current('k')).toBeUndefined();
  });

  it("waits for as long as it takes, whatever the module's defaults are", async () => {
    const service = new LockService({ backend, wait: 0, minHold: '1h', maxHold: 10, limit: 2 });
    services.push(service);
    const manager = service.manager();
    const { letGo, request } = await hold(manager, 'k');
    const second = manager.request('k', () => 'second');
    await sleep(30);
    letGo('first');
    await expect(Promise.all([request, second])).resolves.toEqual(['first', 'second']);
  });

  it('takes the very lock that @Locked and withLock take', async () => {
    const service = client();
    await service.withLock('k', async () => {
      await expect(locks.request('k', { ifAvailable: true }, (lock) => lock)).resolves.toBeNull();
    });
    await locks.request('k', async () => {
      await expect(service.tryAcquire('k')).resolves.toBeNull();
    });
  });

  it('is always made of the same manager', () => {
    const service = client();
    expect(service.manager()).toBe(service.manager());
  });
});

describe('modes', () => {
  it('exclusive locks of a name are granted in the order of the requests', async () => {
    const granted: number[] = [];
    await Promise.all([1, 2, 3].map((n) => locks.request('k', () => granted.push(n))));
    expect(granted).toEqual([1, 2, 3]);
  });

  it('shared locks of several names are granted in the order of the requests', async () => {
    const granted: string[] = [];
    const names = ['a', 'b', 'c', 'a', 'b', 'c'];
    await Promise.all(
      names.map((name) => locks.request(name, { mode: 'shared' }, () => granted.push(name))),
    );
    expect(granted).toEqual(names);
  });

  it('a request of another name does not wait', async () => {
    const { letGo } = await hold(locks, 'a');
    await expect(locks.request('b', () => 'ran')).resolves.toBe('ran');
    letGo('');
  });

  it('shared locks are held together, and an exclusive one waits for all of them', async () => {
    const granted: string[] = [];
    const { passed, open } = gate();
    const readers = [1, 2, 3].map((n) =>
      locks.request('a', { mode: 'shared' }, async () => {
        granted.push(`reader ${n}`);
        await passed;
      }),
    );
    const writer = locks.request('a', () => granted.push('writer'));
    await locks.request('b', { mode: 'exclusive' }, () => granted.push('b'));
    expect(granted).toEqual(['reader 1', 'reader 2', 'reader 3', 'b']);
    open();
    await Promise.all([...readers, writer]);
    expect(granted.at(-1)).toBe('writer');
  });

  it('an exclusive lock between shared ones is held alone', async () => {
    const readers = await Promise.all([1, 2, 3].map(() => hold(locks, 'k', { mode: 'shared' })));
    const writing = hold(locks, 'k');
    const later = [1, 2, 3].map(() => hold(locks, 'k', { mode: 'shared' }));
    const before = await locks.query();
    expect(modesOf(before.held)).toEqual(['shared', 'shared', 'shared']);
    expect(modesOf(before.pending)).toEqual(['exclusive', 'shared', 'shared', 'shared']);

    for (const { letGo } of readers) letGo('');
    const writer = await writing;
    expect(modesOf((await locks.query()).held)).toEqual(['exclusive']);
    writer.letGo('');
    for (const { letGo } of await Promise.all(later)) letGo('');
  });
});

describe('ifAvailable', () => {
  const available = { ifAvailable: true } as const;

  it('gets a lock that is free', async () => {
    await expect(locks.request('k', available, (lock) => lock?.name)).resolves.toBe('k');
  });

  it('calls back with null when the lock is held, and comes to what that comes to', async () => {
    await hold(client().manager(), 'k');
    const thrown = new Error('mine');
    expect(await locks.request('k', available, (lock) => [lock])).toEqual([null]);
    expect(await failure(locks.request('k', available, () => Promise.reject(thrown)))).toBe(thrown);
    const throwing = locks.request('k', available, () => {
      throw thrown;
    });
    expect(await failure(throwing)).toBe(thrown);
  });

  it('shares with those who share, and with nobody else', async () => {
    const other = client().manager();
    await hold(other, 'shared', { mode: 'shared' });
    await hold(other, 'exclusive');
    const find = (name: string, mode: 'shared' | 'exclusive') =>
      locks.request(name, { mode, ifAvailable: true }, (lock) => lock?.mode ?? null);
    expect(await find('shared', 'shared')).toBe('shared');
    expect(await find('shared', 'exclusive')).toBeNull();
    expect(await find('exclusive', 'shared')).toBeNull();
  });

  it('gets it again as soon as the release before is over', async () => {
    await locks.request('k', () => undefined);
    expect(await locks.request('k', available, (lock) => lock)).not.toBeNull();
  });

  it('is no answer when the backend fails', async () => {
    const refusing = changed(() => ({ acquire: () => Promise.reject(new Error('down')) }));
    const service = new LockService({ backend: refusing });
    services.push(service);
    const request = service.manager().request('k', available, () => 'ran');
    await expect(request).rejects.toBeInstanceOf(LockBackendError);
  });
});

describe('signal', () => {
  it.each([['My dog ate it.'], [undefined]])(
    'that is aborted already is told by its reason: %j',
    async (reason) => {
      const signal = AbortSignal.abort(reason);
      let called = false;
      const request = locks.request('k', { signal }, () => (called = true));
      expect(await failure(request)).toBe(signal.reason);
      expect(called).toBe(false);
    },
  );

  it('that is not aborted changes nothing', async () => {
    const { signal } = new AbortController();
    await expect(locks.request('k', { signal }, () => 'ran')).resolves.toBe('ran');
  });

  it('ends the waiting, and the request leaves the queue', async () => {
    const { letGo } = await hold(client().manager(), 'k');
    const caller = new AbortController();
    let called = false;
    const { signal } = caller;
    const request = locks.request('k', { signal }, () => (called = true));
    const next = locks.request('k', () => 'next');
    const before = await locks.query();
    expect([before.held.length, before.pending.length]).toEqual([1, 2]);
    caller.abort();
    const error = await failure(request);
    expect(error).toBe(signal.reason);
    expect(error).toHaveProperty('name', 'AbortError');
    letGo('');
    await expect(next).resolves.toBe('next');
    expect(called).toBe(false);
  });

  it('ends the waiting after a while', async () => {
    await hold(locks, 'k');
    const request = locks.request('k', { signal: AbortSignal.timeout(10) }, () => 'ran');
    expect(await failure(request)).toHaveProperty('name', 'TimeoutError');
  });

  it('that is aborted right after the request is heard, though the lock was free', async () => {
    const caller = new AbortController();
    let called = false;
    const request = locks.request('k', { signal: caller.signal }, () => (called = true));
    const next = locks.request('k', () => 'next');
    caller.abort('My cat handled it');
    expect(await failure(request)).toBe('My cat handled it');
    expect(called).toBe(false);
    await expect(next).resolves.toBe('next');
  });

  it('changes nothing once the lock is held, or given back', async () => {
    const caller = new AbortController();
    const first = await hold(locks, 'k', { signal: caller.signal });
    caller.abort();
    expect(await holds('k')).toBe(true);
    first.letGo('resolved');
    await expect(first.request).resolves.toBe('resolved');

    const late = new AbortController();
    const second = await hold(locks, 'k', { signal: late.signal });
    second.letGo('resolved');
    late.abort();
    await expect(second.request).resolves.toBe('resolved');
  });
});

describe('steal', () => {
  const steal = { steal: true } as const;

  it('gets a lock that is free', async () => {
    await expect(locks.request('k', steal, (lock) => lock?.mode)).resolves.toBe('exclusive');
  });

  it('breaks a lock that another client holds, who is told at once and goes on', async () => {
    const first = await hold(client().manager(), 'k');
    await expect(locks.request('k', steal, () => 'stolen')).resolves.toBe('stolen');
    const error = await failure(first.request);
    expect(error).toBeInstanceOf(DOMException);
    expect(error).toMatchObject({ name: 'AbortError', cause: { code: 'LOCK_LOST', key: 'k' } });
    first.letGo('too late');
    await expect(locks.request('k', () => 'next')).resolves.toBe('next');
  });

  it('breaks all of those that are shared', async () => {
    const readers = await Promise.all(
      [1, 2].map(() => hold(client().manager(), 'k', { mode: 'shared' })),
    );
    await locks.request('k', steal, () => undefined);
    for (const { request } of readers) {
      expect(await failure(request)).toHaveProperty('name', 'AbortError');
    }
  });

  it('breaks the lock of the callback that steals', async () => {
    const outer = locks.request('k', () => locks.request('k', steal, () => 'inner'));
    expect(await failure(outer)).toHaveProperty('name', 'AbortError');
    expect(await holds('k')).toBe(false);
  });

  it('leaves those who wait their turn: they have theirs, first', async () => {
    await hold(locks, 'k');
    const order: string[] = [];
    const waiting = locks.request('k', () => order.push('waited'));
    const stealing = locks.request('k', steal, () => order.push('stole'));
    await Promise.all([waiting, stealing]);
    expect(order).toEqual(['waited', 'stole']);
  });

  it('of several who do, the last wins', async () => {
    await hold(locks, 'k');
    const never = new Promise<void>(() => undefined);
    const thefts = [1, 2, 3].map(() => failure(locks.request('k', steal, () => never)));
    await expect(locks.request('k', steal, () => 'last')).resolves.toBe('last');
    for (const error of await Promise.all(thefts)) {
      expect(error).toHaveProperty('name', 'AbortError');
    }
  });

  it('rejects with why it failed, and does not keep the next one from trying', async () => {
    const failing = jest.fn(() => Promise.reject(new Error('down')));
    const service = new LockService({
      backend: changed((right) => ({
        forceRelease: (key) => (failing.mock.calls.length ? right.forceRelease(key) : failing()),
      })),
    });
    services.push(service);
    const manager = service.manager();
    const first = manager.request('k', steal, () => 'ran');
    const second = manager.request('k', steal, () => 'ran');
    await expect(first).rejects.toThrow('down');
    await expect(second).resolves.toBe('ran');
  });
});

describe('a lock that is lost', () => {
  it('rejects its request with the loss as cause, while the callback goes on', async () => {
    const operator = client();
    const { request, letGo } = await hold(locks, 'k');
    await operator.forceRelease('k');
    const error = await failure(request);
    expect(error).toHaveProperty('name', 'AbortError');
    expect((error as Error).cause).toBeInstanceOf(LockLostError);
    letGo('too late');
  });

  it('is not one that somebody asks for: its callback may finish', async () => {
    const operator = client();
    const { request, letGo } = await hold(locks, 'k');
    await operator.revoke('k', { grace: 0 });
    await sleep(10);
    letGo('finished');
    await expect(request).resolves.toBe('finished');
  });

  it('is told also when somebody had asked for it before', async () => {
    const operator = client();
    const { request } = await hold(locks, 'k');
    await operator.revoke('k', { grace: 0 });
    await sleep(10);
    await operator.forceRelease('k');
    expect(await failure(request)).toHaveProperty('name', 'AbortError');
  });

  it('leaves alone what else the callback rejects with, and what it rejects with later', async () => {
    const own = new LockLostError('another', 'expired');
    expect(await failure(locks.request('k', () => Promise.reject(own)))).toBe(own);

    const { passed, open } = gate();
    const request = locks.request('k', async () => {
      await passed;
      throw new Error('too late');
    });
    await eventually('it is held', () => holds('k'));
    await client().forceRelease('k');
    expect(await failure(request)).toHaveProperty('name', 'AbortError');
    open();
    await sleep(1);
  });
});

describe('who holds a name and requests it again', () => {
  it('is refused, as it would wait for itself', async () => {
    await locks.request('k', async () => {
      await expect(locks.request('k', () => 'ran')).rejects.toThrow(LockReentrancyError);
      await expect(locks.request('k', { mode: 'shared' }, () => 'ran')).rejects.toThrow(
        LockReentrancyError,
      );
      await expect(locks.request('other', () => 'ran')).resolves.toBe('ran');
    });
    await locks.request('k', { mode: 'shared' }, async () => {
      await expect(locks.request('k', () => 'ran')).rejects.toThrow('downgrade()');
    });
  });

  it('reads again, with a lock of its own', async () => {
    const reading = { mode: 'shared' } as const;
    await locks.request('k', reading, () =>
      locks.request('k', reading, async () => {
        expect(modesOf((await locks.query()).held)).toEqual(['shared', 'shared']);
      }),
    );
  });

  it('does not find it available', async () => {
    const inner = locks.request('k', () =>
      locks.request('k', { ifAvailable: true }, (lock) => [lock]),
    );
    await expect(inner).resolves.toEqual([null]);
  });

  it('waits for it like others once it is lost', async () => {
    const again = gate<string>();
    const { passed, open } = gate();
    const outer = locks.request('k', async () => {
      await passed;
      again.open(await locks.request('k', () => 'again'));
    });
    await eventually('it is held', () => holds('k'));
    await client().forceRelease('k');
    expect(await failure(outer)).toHaveProperty('name', 'AbortError');
    open();
    await expect(again.passed).resolves.toBe('again');
  });

  it('may do so from another client', async () => {
    const other = client().manager();
    const { letGo } = await hold(locks, 'k');
    const request = other.request('k', () => 'ran');
    letGo('');
    await expect(request).resolves.toBe('ran');
  });
});

describe('query', () => {
  it('finds nothing where nothing is', async () => {
    expect(await locks.query()).toEqual({ held: [], pending: [] });
  });

  it('tells name, mode and client of who holds and who waits', async () => {
    const other = client().manager();
    const here = await hold(locks, 'k');
    await hold(locks, 'shared', { mode: 'shared' });
    await hold(other, 'shared', { mode: 'shared' });
    void other.request('k', { mode: 'shared' }, () => undefined);
    void other.request('k', { mode: 'shared' }, () => undefined);
    const { held, pending } = await locks.query();

    const [first, second] = [held[0]!.clientId, pending[0]!.clientId];
    expect(first).not.toBe(second);
    expect(held).toEqual([
      { name: 'k', mode: 'exclusive', clientId: first },
      { name: 'shared', mode: 'shared', clientId: first },
      { name: 'shared', mode: 'shared', clientId: second },
    ]);
    expect(pending).toEqual([
      { name: 'k', mode: 'shared', clientId: second },
      { name: 'k', mode: 'shared', clientId: second },
    ]);
    here.letGo('');
  });

  it('shows those who wait in the order of their requests', async () => {
    await hold(locks, 'k');
    const clients = [client(), client(), client()].map((service) => service.manager());
    const ids = await Promise.all(
      clients.map(async (manager, n) => {
        await hold(manager, `own ${n}`);
        return (await locks.query()).held.find(({ name }) => name === `own ${n}`)?.clientId;
      }),
    );
    for (const n of [2, 0, 1])
      void clients[n]!.request('k', () => undefined).catch(() => undefined);
    const { pending } = await locks.query();
    expect(pending.map(({ clientId }) => clientId)).toEqual([ids[2], ids[0], ids[1]]);
  });

  it('can show that two clients wait for each other', async () => {
    const other = client().manager();
    await hold(locks, 'a');
    await hold(other, 'b');
    void locks.request('b', () => undefined).catch(() => undefined);
    void other.request('a', () => undefined).catch(() => undefined);
    const { held, pending } = await locks.query();
    const by = (infos: WebLockInfo[], name: string) =>
      infos.find((info) => info.name === name)?.clientId;
    expect(by(held, 'a')).toBe(by(pending, 'b'));
    expect(by(held, 'b')).toBe(by(pending, 'a'));
    expect(by(held, 'a')).not.toBe(by(held, 'b'));
  });

  it('sees the locks of the service as well', async () => {
    const lock = await client().acquire('k', { mode: 'shared' });
    expect((await locks.query()).held).toMatchObject([{ name: 'k', mode: 'shared' }]);
    await lock.release();
  });
});

describe('when the application closes', () => {
  it('those who wait, and those who come, are told', async () => {
    await hold(locks, 'k');
    const service = client();
    const waiting = failure(service.manager().request('k', () => 'ran'));
    await service.close();
    expect(await waiting).toBeInstanceOf(LockShutdownError);
    const late = service.manager().request('k', () => 'ran');
    await expect(late).rejects.toBeInstanceOf(LockShutdownError);
    await expect(service.manager().query()).rejects.toBeInstanceOf(LockShutdownError);
  });
});

describe("the standard's own examples", () => {
  it('a result is what the request comes to', async () => {
    const steps: string[] = [];
    const result = await locks.request('resource', async () => {
      steps.push('something');
      await sleep(1);
      steps.push('something else');
      return 'ok';
    });
    expect([result, steps]).toEqual(['ok', ['something', 'something else']]);
  });

  it('a lock is held from here until there', async () => {
    let resolve!: () => void;
    const held = new Promise<void>((done) => (resolve = done));
    const request = locks.request('resource', () => held);
    await eventually('it is held', () => holds('resource'));
    resolve();
    await request;
    expect(await holds('resource')).toBe(false);
  });

  it('a request waits for 200 ms at most', async () => {
    await hold(client().manager(), 'resource');
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 20);
    const request = locks.request('resource', { signal: controller.signal }, () => 'ran');
    expect(await failure(request)).toHaveProperty('name', 'AbortError');
  });

  it('several names are locked in a strict order', async () => {
    const requestMultiple = async <T>(resources: string[], callback: () => T): Promise<T> => {
      const [first, ...others] = [...resources].sort();
      return first === undefined
        ? callback()
        : await locks.request(first, () => requestMultiple(others, callback));
    };
    const names = requestMultiple(['b', 'c', 'a'], async () =>
      (await locks.query()).held.map(({ name }) => name),
    );
    expect(await names).toEqual(['a', 'b', 'c']);
  });
});

it("fits the LockManager of TypeScript's lib.dom", () => {
  const name = 'test/unit/fits.ts';
  const source = `
    import type { WebLock, WebLockManager, WebLockOptions } from '../../lib/interfaces/web-locks.interface.js';
    declare const ours: WebLockManager;
    export const manager: LockManager = ours;
    export const lock = (theirs: Lock): WebLock => theirs;
    export const options = (theirs: LockOptions): WebLockOptions => theirs;
    export const result: Promise<string> = ours.request('k', async (lock) => lock!.name);
  `;
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.esnext.disposable.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    noEmit: true,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const getSourceFile = host.getSourceFile.bind(host);
  host.getSourceFile = (file, ...rest) =>
    file === name
      ? ts.createSourceFile(file, source, ts.ScriptTarget.ES2022)
      : getSourceFile(file, ...rest);
  const program = ts.createProgram([name], options, host);
  const complaints = program.getSemanticDiagnostics(program.getSourceFile(name));
  expect(complaints.map(({ messageText }) => messageText)).toEqual([]);
});
