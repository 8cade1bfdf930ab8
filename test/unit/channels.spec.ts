import { AsyncLocalStorage } from 'node:async_hooks';
import { jest } from '@jest/globals';
import { Injectable, Logger } from '@nestjs/common';
import {
  type Grant,
  LeaderOnly,
  Locked,
  LockedStream,
  type LockModuleOptions,
  type LockRequest,
  LockService,
  LockTimeoutError,
  MemoryBackend,
} from 'nestjs-lock';
import { Reporter } from '../../lib/telemetry/reporter.js';
import { ChannelListener } from '../support/channel-listener.js';
import { eventually } from '../support/eventually.js';
import { pending, ScriptedBackend } from '../support/scripted-backend.js';

const A_STRING = expect.any(String) as unknown;
const A_NUMBER = expect.any(Number) as unknown;

type Names = ConstructorParameters<typeof ChannelListener>[0];

let backend: MemoryBackend;
let locks: LockService;
let listener: ChannelListener;
let warn: jest.Spied<Logger['warn']>;

/** What it has heard, by channel. */
function listenTo(...names: Names): ChannelListener['heard'] {
  listener = new ChannelListener(names);
  return listener.heard;
}

/** The service that the test uses from here on. */
function serve(options: LockModuleOptions, name?: string): void {
  locks = new LockService({ shutdownGrace: 0, ...options }, name);
}

beforeEach(() => {
  warn = jest.spyOn(Logger.prototype, 'warn').mockReturnValue(undefined);
  backend = new MemoryBackend();
  locks = new LockService({ backend, shutdownGrace: 0 });
});

afterEach(async () => {
  await locks.close();
  listener.stop();
  warn.mockRestore();
});

@Injectable()
class Orders {
  constructor(readonly depth = 0) {}

  @Locked('order:{0.id}', { wait: 0 })
  async ship(_order: { id: number }): Promise<string> {
    return 'shipped';
  }

  @Locked((one: string, other: string) => [one, other])
  async move(_one: string, _other: string): Promise<void> {}

  @Locked((id: string) => id, { template: 'item:{id}' })
  async pack(_id: string): Promise<void> {}

  @Locked('order:{0.id}', { wait: 0, onBusy: 'skip' })
  async tryShip(_order: { id: number }): Promise<string> {
    return 'shipped';
  }

  @LockedStream('all')
  async *all(): AsyncGenerator<number> {
    yield* [1, 2];
  }

  @LeaderOnly('reports', { ttl: '5s' })
  async report(): Promise<void> {}
}

describe('acquire', () => {
  it('tells of a request that is granted', async () => {
    const { acquire } = listenTo('acquire');
    const lock = await locks.acquire('k', { ttl: '5s', wait: '1s', template: 'a:{b}' });
    expect(acquire).toEqual([
      {
        keys: ['k'],
        template: 'a:{b}',
        where: undefined,
        mode: 'exclusive',
        limit: 1,
        ttl: 5_000,
        wait: 1_000,
        service: A_STRING,
        backend: 'memory',
        instance: undefined,
        waited: false,
        outcome: 'granted',
        duration: A_NUMBER,
        fencingTokens: [lock.fencingToken],
        handoff: 'none',
      },
    ]);
    expect(listener.steps.map((step) => step.split(':')[1])).toEqual([
      'start',
      'end',
      'asyncStart',
      'asyncEnd',
    ]);
  });

  it('tells at its end, before the caller goes on', async () => {
    const { acquire } = listenTo('acquire');
    const granted = locks.acquire('k').then(() => acquire.length);
    expect(await granted).toBe(1);
  });

  it('tells the name of the module, the mode and the limit', async () => {
    serve({ backend }, 'billing');
    const { acquire } = listenTo('acquire');
    await locks.acquire('k', { limit: 3 });
    await locks.acquire('r', { mode: 'shared' });
    expect(acquire).toMatchObject([
      { instance: 'billing', mode: 'exclusive', limit: 3 },
      { instance: 'billing', mode: 'shared', limit: 1 },
    ]);
  });

  it('tells whether it waited: at the backend, and behind another of its process', async () => {
    const { acquire } = listenTo('acquire');
    const lock = await locks.acquire('k');
    const waiting = [locks.acquire('k'), locks.acquire('k')];
    for (const next of [lock, ...waiting]) await (await next).release();
    expect(acquire.map(({ waited }) => waited)).toEqual([false, true, true]);
  });

  describe('tells whence the lock came', () => {
    let store: ScriptedBackend;
    /** Has the store tell that it is the turn of who waits there, with so many tokens for those behind. */
    let tell: (reserve: number) => void;

    beforeEach(() => {
      // A lease may be handed over for some milliseconds only.
      jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] });
      store = new ScriptedBackend();
      store.acquire = (request) => {
        const { promise, resolve } = pending<Grant>();
        tell = (reserve) => {
          resolve({ ...store.grant(request), reserve });
        };
        return Promise.resolve({ state: 'waiting', granted: promise });
      };
      serve({ backend: store });
    });

    afterEach(() => {
      jest.useRealTimers();
    });

    const settle = () => new Promise(setImmediate);
    const atOnce = (request: LockRequest) => Promise.resolve(store.grant(request));

    it('the store, to which it was free', async () => {
      store.acquire = atOnce;
      const { acquire } = listenTo('acquire');
      await locks.acquire('k');
      expect(acquire).toMatchObject([{ handoff: 'none' }]);
    });

    it('the store, that told when it was its turn; or a holder of this process', async () => {
      const { acquire } = listenTo('acquire');
      const [first, second, third] = [1, 2, 3].map(() => locks.acquire('k'));
      await settle();
      tell(1);
      await (await first!).release();
      await (await second!).release();
      await settle();
      tell(0);
      await third;
      expect(acquire.map(({ handoff }) => handoff)).toEqual(['remote', 'local', 'remote']);
    });

    it('the store, to which it was free when a line of this process got there', async () => {
      const { acquire } = listenTo('acquire');
      const [first, second] = [1, 2].map(() => locks.acquire('k'));
      await settle();
      store.acquire = atOnce;
      tell(0);
      await first;
      await second;
      expect(acquire).toMatchObject([{ handoff: 'remote' }, { waited: true, handoff: 'none' }]);
    });

    it('of several keys: the store’s word, if any of them came by that', async () => {
      const waits = store.acquire;
      store.acquire = (request) =>
        request.queue ? waits(request) : Promise.resolve({ state: 'busy' });
      const { acquire } = listenTo('acquire');
      const before = locks.acquire('a');
      await settle();
      const both = locks.acquire(['a', 'b']);
      await settle();
      tell(1);
      await (await before).release();
      await settle();
      expect(store.asked.acquire.map(({ key, queue }) => queue && key)).toContain('b');
      tell(0);
      await both;
      expect(acquire).toMatchObject([{ handoff: 'remote' }, { handoff: 'remote' }]);
    });

    it('nowhere, where it is entered again, or was not granted', async () => {
      const { acquire } = listenTo('acquire');
      const outer = locks.withLock('k', () => locks.withLock('k', { reentrant: true }, () => 1));
      await settle();
      tell(0);
      await outer;
      store.acquire = () => Promise.resolve({ state: 'busy' });
      expect(await locks.tryAcquire('k')).toBeNull();
      expect(acquire.map(({ handoff }) => handoff)).toEqual(['remote', 'none', undefined]);
    });
  });

  it.each([
    ['busy', (key: string) => locks.acquire(key, { wait: 10 }), { code: 'LOCK_TIMEOUT' }, true],
    ['busy', (key: string) => locks.acquire(key, { wait: 0 }), { code: 'LOCK_TIMEOUT' }, false],
    ['busy', (key: string) => locks.withLock([key, 'k2'], { wait: 0 }, noBody), {}, false],
    [
      'aborted',
      (key: string) => locks.acquire(key, { signal: AbortSignal.timeout(10) }),
      { name: 'TimeoutError' },
      true,
    ],
  ])('tells why there is no grant: %s', async (outcome, ask, error, waited) => {
    await locks.acquire('k');
    const { acquire } = listenTo('acquire');
    await expect(ask('k')).rejects.toMatchObject(error);
    expect(acquire).toMatchObject([{ outcome, error, waited }]);
    expect(acquire[0]?.fencingTokens).toBeUndefined();
    expect(listener.steps).toEqual([
      'acquire:start',
      'acquire:end',
      'acquire:error',
      'acquire:asyncStart',
      'acquire:asyncEnd',
    ]);
  });

  it('tells of a shutdown, of a backend that fails, and of a mistake', async () => {
    const scripted = new ScriptedBackend();
    scripted.acquire = () => Promise.reject(new Error('refused'));
    serve({ backend: scripted });
    const { acquire } = listenTo('acquire');
    await expect(locks.acquire('k')).rejects.toMatchObject({ code: 'LOCK_BACKEND' });
    await locks.close();
    await expect(locks.acquire('k')).rejects.toMatchObject({ code: 'LOCK_SHUTDOWN' });
    expect(acquire).toMatchObject([{ outcome: 'failed' }, { outcome: 'shutdown' }]);
  });

  it('counts busy as no error where the caller does not', async () => {
    const orders = locks.attach(new Orders());
    await locks.acquire('order:7');
    const { acquire } = listenTo('acquire');
    expect(await locks.tryAcquire('order:7')).toBeNull();
    expect(await orders.tryShip({ id: 7 })).toBeUndefined();
    expect(acquire).toMatchObject([
      { outcome: 'busy' },
      { outcome: 'busy', where: 'Orders.tryShip' },
    ]);
    expect(acquire.map(({ error }) => error)).toEqual([undefined, undefined]);
    expect(listener.steps).not.toContain('acquire:error');
    await expect(orders.ship({ id: 7 })).rejects.toBeInstanceOf(LockTimeoutError);
    expect(acquire[2]?.error).toBeInstanceOf(LockTimeoutError);
  });

  it('tells what the decorator says, and not which key that gives', async () => {
    const orders = locks.attach(new Orders());
    const { acquire, hold } = listenTo('acquire', 'hold');
    await orders.ship({ id: 7 });
    await orders.move('a', 'b');
    await orders.pack('item:1');
    for await (const order of orders.all()) expect(order).toBeGreaterThan(0);
    const told = [
      { keys: ['order:7'], template: 'order:{0.id}', where: 'Orders.ship' },
      { keys: ['a', 'b'], template: 'Orders.move', where: 'Orders.move' },
      { keys: ['item:1'], template: 'item:{id}', where: 'Orders.pack' },
      { keys: ['all'], template: 'all', where: 'Orders.all' },
    ];
    expect(acquire).toMatchObject(told);
    expect(hold).toMatchObject(told);
  });

  it('runs in the context of its caller', async () => {
    const storage = new AsyncLocalStorage<string>();
    const contexts: unknown[] = [];
    listener = new ChannelListener(['acquire', 'hold'], () => {
      contexts.push(storage.getStore());
    });
    await storage.run('request', () => locks.withLock('k', noBody));
    expect(contexts).toEqual(Array(8).fill('request'));
  });
});

describe('hold', () => {
  it('tells of what runs under a lock', async () => {
    const { hold } = listenTo('hold');
    const token = await locks.withLock('k', { template: 't' }, async (lock) => {
      expect(listener.steps).toEqual(['hold:start']);
      return lock.fencingToken;
    });
    expect(hold).toEqual([
      {
        keys: ['k'],
        template: 't',
        where: undefined,
        fencingTokens: [token],
        mode: 'exclusive',
        limit: 1,
        service: A_STRING,
        backend: 'memory',
        instance: undefined,
        outcome: 'released',
        heldFor: A_NUMBER,
      },
    ]);
  });

  it("is no affair of the body's error", async () => {
    const { hold } = listenTo('hold');
    const failing = locks.withLock('k', () => Promise.reject(new Error('of the body')));
    await expect(failing).rejects.toThrow('of the body');
    expect(hold).toMatchObject([{ outcome: 'released' }]);
    expect(listener.steps).not.toContain('hold:error');
  });

  it('ends with the release of a handle, and but once', async () => {
    const { hold } = listenTo('hold');
    const lock = await locks.acquire(['a', 'b']);
    const tried = await locks.tryAcquire('c');
    expect(hold).toEqual([]);
    await lock.release();
    await lock.release();
    await tried?.release();
    await eventually('both are told', () => hold.length > 1);
    expect(hold).toMatchObject([
      {
        keys: ['a', 'b'],
        outcome: 'released',
        fencingTokens: lock.keys.map((key) => lock.fencingTokenOf(key)),
      },
      { keys: ['c'], outcome: 'released' },
    ]);
  });

  it('of a handle ends with its loss, of a body when it has settled: held until the loss', async () => {
    const { hold } = listenTo('hold');
    await locks.acquire('handle', { ttl: 20, renew: false });
    const body = locks.withLock('body', { maxHold: 20 }, async ({ signal }) => {
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
      await new Promise((resolve) => setTimeout(resolve, 60));
    });
    await expect(body).rejects.toMatchObject({ reason: 'maxHold' });
    expect(hold).toMatchObject([
      { keys: ['handle'], outcome: 'expired', error: { code: 'LOCK_LOST' } },
      { keys: ['body'], outcome: 'maxHold', error: { code: 'LOCK_LOST' } },
    ]);
    expect(hold[1]?.heldFor).toBeLessThan(60);
  });

  it('tells of a lock that was gone when it was given back', async () => {
    const scripted = new ScriptedBackend();
    scripted.release = () => Promise.resolve(false);
    serve({ backend: scripted });
    const { hold, lost } = listenTo('hold', 'lost');
    await expect(locks.withLock('k', noBody)).rejects.toMatchObject({ reason: 'stolen' });
    expect(hold).toMatchObject([{ outcome: 'stolen', error: { reason: 'stolen' } }]);
    expect(lost).toMatchObject([{ key: 'k', reason: 'stolen' }]);
  });

  it('begins once, however often its context enters again', async () => {
    const { hold } = listenTo('hold');
    await locks.withLock('k', { reentrant: true }, () =>
      locks.withLock('k', { reentrant: true }, async () => {
        await (await locks.acquire('k', { reentrant: true })).release();
      }),
    );
    expect(hold).toHaveLength(1);
  });
});

it('web locks are told of as well', async () => {
  const { acquire, hold } = listenTo('acquire', 'hold');
  const manager = locks.manager();
  await manager.request('k', async () => {
    expect(await manager.request('k', { ifAvailable: true }, (lock) => lock)).toBeNull();
  });
  expect(acquire).toMatchObject([
    { keys: ['k'], outcome: 'granted' },
    { keys: ['k'], outcome: 'busy' },
  ]);
  expect(hold).toMatchObject([{ keys: ['k'], outcome: 'released' }]);
  expect(listener.steps).not.toContain('acquire:error');
});

describe('backend', () => {
  it('tells of each call, with how many locks it is about', async () => {
    const { backend: calls } = listenTo('backend');
    const lock = await locks.acquire('k');
    await lock.renew();
    await lock.downgrade();
    await locks.inspect('k');
    await locks.revoke('k');
    await locks.forceRelease('k');
    const both = await locks.acquire(['a', 'b']);
    await expect(locks.acquire('a', { wait: 10 })).rejects.toBeInstanceOf(LockTimeoutError);
    await both.release();
    await eventually('the request is withdrawn', () =>
      calls.some(({ operation }) => operation === 'cancel'),
    );
    const counted = calls.map(({ operation, requests }) => `${operation} ${requests}`);
    expect(new Set(counted)).toEqual(
      new Set([
        'acquire 1',
        'renew 1',
        'downgrade 1',
        'inspect 1',
        'revoke 1',
        'force_release 1',
        'acquire 2',
        'release 1',
        'cancel 1',
      ]),
    );
    for (const call of calls) expect(call).toMatchObject({ backend: 'memory', duration: A_NUMBER });
  });

  it('tells of those that fail', async () => {
    const scripted = new ScriptedBackend();
    scripted.inspect = () => Promise.reject(new Error('refused'));
    scripted.acquire = () => {
      throw new Error('at once');
    };
    serve({ backend: scripted });
    const { backend: calls } = listenTo('backend');
    await expect(locks.inspect('k')).rejects.toThrow('refused');
    await expect(locks.acquire('k')).rejects.toThrow('at once');
    expect(calls).toMatchObject([
      { operation: 'inspect', error: { message: 'refused' } },
      { operation: 'acquire', error: { message: 'at once' } },
    ]);
  });

  it('tells of an answer that comes late in none of the contexts of users', async () => {
    const storage = new AsyncLocalStorage<string>();
    const scripted = new ScriptedBackend();
    let answer!: () => void;
    scripted.acquire = (request) =>
      new Promise((resolve) => {
        answer = () => {
          resolve(scripted.grant(request));
        };
      });
    serve({ backend: scripted });
    const contexts: unknown[] = [];
    listener = new ChannelListener(['backend'], (_, message) => {
      if ('duration' in message) contexts.push(storage.getStore());
    });
    const gone = storage.run('request', () => locks.acquire('k', { wait: 10 }));
    await expect(gone).rejects.toMatchObject({ code: 'LOCK_BACKEND' });
    answer();
    await eventually('it is told', () => contexts.length > 3);
    expect(new Set(contexts)).toEqual(new Set([undefined]));
  });
});

describe('what happens by itself', () => {
  it('a loss, in none of the contexts of users', async () => {
    const storage = new AsyncLocalStorage<string>();
    const contexts: unknown[] = [];
    listener = new ChannelListener(['lost'], () => {
      contexts.push(storage.getStore());
    });
    const { lost } = listener.heard;
    await storage.run('request', async () => {
      const lock = await locks.acquire('k', { ttl: 20, renew: false, template: 't' });
      // So that it is the caller who finds it out.
      while (lock.remaining > 0);
      expect(lock.held).toBe(false);
    });
    expect(lost).toEqual([
      {
        key: 'k',
        template: 't',
        fencingToken: A_NUMBER,
        mode: 'exclusive',
        reason: 'expired',
        heldFor: A_NUMBER,
        error: expect.objectContaining({ code: 'LOCK_LOST' }) as unknown,
        service: A_STRING,
        backend: 'memory',
        instance: undefined,
      },
    ]);
    expect(contexts).toEqual([undefined]);
  });

  it('a loss to an operator, and one to the shutdown', async () => {
    const { lost } = listenTo('lost');
    await locks.acquire('broken');
    await locks.acquire('kept');
    await locks.forceRelease('broken');
    await locks.close();
    expect(lost).toMatchObject([
      { key: 'broken', reason: 'stolen' },
      { key: 'kept', reason: 'shutdown' },
    ]);
  });

  it('renewals, by rounds: how many, and how much of their time was gone', async () => {
    const { renewed } = listenTo('renewed');
    await Promise.all(['a', 'b', 'c'].map((key) => locks.acquire(key, { ttl: 300 })));
    await eventually('they are renewed', () => renewed.length > 0);
    expect(renewed[0]).toMatchObject({ leases: 3, backend: 'memory' });
    expect(renewed[0]?.duration).toBeGreaterThanOrEqual(0);
    expect(renewed[0]?.utilization).toBeGreaterThan(0.3);
    expect(renewed[0]?.utilization).toBeLessThanOrEqual(1);
  });

  it('a renewal for longer, which had used little of what it had', async () => {
    const { renewed } = listenTo('renewed');
    const lock = await locks.acquire('k', { ttl: '30s' });
    await lock.renew('1h');
    expect(renewed[0]?.utilization).toBeLessThan(0.3);
  });

  it('no renewal that was not answered well', async () => {
    const scripted = new ScriptedBackend();
    scripted.renew = () => Promise.reject(new Error('refused'));
    serve({ backend: scripted });
    const { renewed } = listenTo('renewed');
    const lock = await locks.acquire('k', { ttl: '30s' });
    await expect(lock.renew()).rejects.toMatchObject({ code: 'LOCK_BACKEND' });
    scripted.renew = (leases) => Promise.resolve(leases.map(() => false));
    await expect(lock.renew()).rejects.toMatchObject({ reason: 'stolen' });
    expect(renewed).toEqual([]);
  });

  it('a revocation, once to each holder', async () => {
    const { revocation } = listenTo('revocation');
    const lock = await locks.acquire('k', { template: 't' });
    await locks.revoke('k', { reason: 'a deploy', grace: '1m' });
    await locks.revoke('k', { reason: 'again', grace: '1m' });
    expect(revocation).toEqual([
      {
        key: 'k',
        template: 't',
        fencingToken: lock.fencingToken,
        reason: 'a deploy',
        grace: 60_000,
        service: A_STRING,
        backend: 'memory',
        instance: undefined,
      },
    ]);
  });

  it('a leadership, and its end', async () => {
    const orders = locks.attach(new Orders());
    const { leadership, acquire, hold } = listenTo('leadership', 'acquire', 'hold');
    await orders.report();
    await eventually('it leads', () => leadership.length === 1);
    await locks.leader('reports', { ttl: '5s' }).withdraw();
    expect(leadership).toMatchObject([
      { key: 'reports', template: 'reports', state: 'elected' },
      { key: 'reports', template: 'reports', state: 'deposed' },
    ]);
    expect(leadership[1]?.fencingToken).toBe(leadership[0]?.fencingToken);
    expect([...acquire, ...hold]).toEqual([]);
  });

  it('a warning, which is logged as well', async () => {
    const { warning } = listenTo('warning');
    const scripted = new ScriptedBackend();
    const connect = scripted.connect.bind(scripted);
    scripted.connect = (process) => {
      process.warn('beware');
      return connect(process);
    };
    serve({ backend: scripted });
    await locks.acquire('k');
    expect(warning).toEqual([
      { message: 'beware', service: A_STRING, backend: 'scripted', instance: undefined },
    ]);
    expect(warn).toHaveBeenCalledWith('beware');
  });
});

it('nothing is made for nobody', async () => {
  listenTo();
  const spies = (['acquire', 'hold', 'held', 'call', 'renewed'] as const).map((method) =>
    jest.spyOn(Reporter.prototype, method),
  );
  await locks.withLock('k', async (lock) => {
    await lock.renew();
    await (await locks.acquire('other')).release();
  });
  for (const spy of spies) {
    expect(spy).not.toHaveBeenCalled();
    spy.mockRestore();
  }
});

function noBody(): Promise<void> {
  return Promise.resolve();
}
