import { Logger } from '@nestjs/common';
import {
  type HolderState,
  type Leadership,
  type LeaderState,
  type LeaderTerm,
  type LockBackend,
  LockBackendError,
  LockConfigurationError,
  LockKeyError,
  LockLostError,
  LockReentrancyError,
  LockService,
  LockShutdownError,
  MemoryBackend,
} from 'nestjs-lock';
import { eventually } from '../support/eventually.js';
import { pending, ScriptedBackend } from '../support/scripted-backend.js';
import { WatchedBackend } from '../support/watched-backend.js';

const services: LockService[] = [];

function service(backend: LockBackend, shutdownGrace = 0): LockService {
  const made = new LockService({ backend, shutdownGrace });
  services.push(made);
  return made;
}

function elected(leadership: Leadership): Promise<LeaderTerm> {
  return new Promise((resolve) => {
    const off = leadership.onElected((term) => {
      off();
      resolve(term);
    });
  });
}

/** Takes what comes until there is nothing more. */
async function drained(states: AsyncIterable<unknown>): Promise<void> {
  const iterator = states[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}

function holder(token: number): HolderState {
  return { id: 'p:1', token, mode: 'exclusive', age: 0, remaining: 1_000 };
}

beforeAll(() => {
  Logger.overrideLogger(false);
});

afterEach(async () => {
  for (const one of services.splice(0)) await one.close();
});

describe('of several who stand', () => {
  let first: Leadership;
  let second: Leadership;

  beforeEach(async () => {
    const backend = new MemoryBackend();
    first = service(backend).leader('reports');
    await elected(first);
    second = service(backend).leader('reports');
  });

  it('one leads, and the next when it steps down, with a greater token', async () => {
    const before = first.term!;
    expect([first.isLeader, second.isLeader]).toEqual([true, false]);
    expect(second.term).toBeUndefined();

    const next = elected(second);
    await first.stepDown();

    expect((await next).fencingToken).toBeGreaterThan(before.fencingToken);
    expect([first.isLeader, second.isLeader]).toEqual([false, true]);
    expect(before.held).toBe(false);
  });

  it('who stepped down stands again behind the others', async () => {
    await first.stepDown();
    await elected(second);
    const again = elected(first);
    await second.stepDown();
    await again;
    expect(first.isLeader).toBe(true);
  });

  it('who withdraws is not elected again', async () => {
    await first.withdraw();
    await elected(second);
    await second.stepDown();
    await elected(second);
    expect(first.isLeader).toBe(false);
  });

  it('who waits may withdraw', async () => {
    await second.withdraw();
    await first.stepDown();
    await elected(first);
    expect(second.isLeader).toBe(false);
  });

  it('each observes who leads', async () => {
    const seen: (LeaderState | undefined)[] = [];
    const token = first.term!.fencingToken;
    for await (const state of second.observe(5)) {
      seen.push(state);
      if (seen.length === 1) await first.withdraw();
      if (state?.isSelf) break;
    }
    expect(seen[0]).toEqual({ fencingToken: token, isSelf: false });
    expect(seen.at(-1)).toEqual({ fencingToken: second.term!.fencingToken, isSelf: true });
  });
});

describe('a leader', () => {
  it('is told once when it is elected and once when it is deposed, and seeks it again', async () => {
    const backend = new WatchedBackend();
    const leadership = service(backend).leader('reports');
    const told: [what: string, token: number][] = [];
    leadership.onElected((term) => told.push(['elected', term.fencingToken]));
    leadership.onDeposed((term) => told.push(['deposed', term.fencingToken]));
    const { fencingToken: one, signal } = await elected(leadership);

    const again = new Promise<LeaderTerm>((resolve) => {
      leadership.onDeposed(() => void elected(leadership).then(resolve));
    });
    backend.lose('reports');
    expect(leadership.isLeader).toBe(false);
    expect(signal.reason).toMatchObject({ name: 'LockLostError', reason: 'stolen' });

    const { fencingToken: other } = await again;
    expect(other).toBeGreaterThan(one);
    expect(told).toEqual([
      ['elected', one],
      ['deposed', one],
      ['elected', other],
    ]);
  });

  it.each<[string, (leadership: Leadership, locks: LockService) => unknown]>([
    ['steps down', (leadership) => leadership.stepDown()],
    ['was asked to', (_leadership, locks) => locks.revoke('reports', { grace: 0 })],
  ])('is told of a loss at once, also while a body of it ends as it %s', async (_, ask) => {
    const backend = new WatchedBackend();
    const locks = service(backend);
    const leadership = locks.leader('reports');
    await elected(leadership);
    const body = pending<undefined>();
    const running = leadership.run(() => body.promise);
    void ask(leadership, locks);
    await eventually('it ends', () => !leadership.isLeader);
    const deposed = new Promise<void>((resolve) => leadership.onDeposed(() => resolve()));

    backend.lose('reports');

    await deposed;
    body.resolve(undefined);
    await expect(running).rejects.toThrow(LockLostError);
  });

  it('has its terms by iteration, until it withdraws', async () => {
    const leadership = service(new MemoryBackend()).leader('reports');
    const tokens: number[] = [];
    for await (const term of leadership) {
      tokens.push(term.fencingToken);
      if (tokens.length < 3) void leadership.stepDown();
      else void leadership.withdraw();
    }
    expect(tokens).toEqual([...new Set(tokens)].sort((one, other) => one - other));
    expect(tokens).toHaveLength(3);
  });

  it('goes on when a listener fails', async () => {
    const leadership = service(new MemoryBackend()).leader('reports');
    leadership.onElected(() => {
      throw new Error('a bad listener');
    });
    leadership.onElected(() => Promise.reject(new Error('another')));
    const { fencingToken } = await elected(leadership);
    await leadership.stepDown();
    expect((await elected(leadership)).fencingToken).toBeGreaterThan(fencingToken);
  });

  it('gives the leadership back when its service closes, and its iterations end', async () => {
    const backend = new MemoryBackend();
    const closing = service(backend);
    const leadership = closing.leader('reports');
    await elected(leadership);
    const other = elected(service(backend).leader('reports'));
    const iterated = (async () => {
      for await (const term of leadership) expect(term.held).toBe(true);
    })();

    await closing.close();

    await other;
    await iterated;
    expect(leadership.isLeader).toBe(false);
    expect(() => closing.leader('reports')).toThrow(LockShutdownError);
  });
});

describe('run', () => {
  it('resolves to what the body gives, or to undefined without it where another leads', async () => {
    const backend = new MemoryBackend();
    const leadership = service(backend).leader('reports');
    await elected(leadership);
    const other = service(backend).leader('reports');

    await expect(leadership.run((term) => term.fencingToken)).resolves.toBe(
      leadership.term!.fencingToken,
    );
    await expect(other.run(() => 'ran')).resolves.toBeUndefined();
  });

  it.each(['stepDown', 'withdraw'] as const)('is over before %s gives it back', async (end) => {
    const leadership = service(new MemoryBackend()).leader('reports');
    await elected(leadership);
    let finish!: () => void;
    const held: boolean[] = [];
    const running = leadership.run(async (term) => {
      await new Promise<void>((resolve) => (finish = resolve));
      held.push(term.held);
    });
    await eventually('it runs', () => (finish as unknown) !== undefined);

    const ended = leadership[end]();
    finish();
    await running;
    await ended;
    expect(held).toEqual([true]);
  });

  it.each(['stepDown', 'withdraw'] as const)('begins no body from %s on', async (end) => {
    const leadership = service(new MemoryBackend()).leader('reports');
    await elected(leadership);
    const body = pending<undefined>();
    const running = leadership.run(() => body.promise);

    const ended = leadership[end]();
    expect(leadership.isLeader).toBe(false);
    await expect(leadership.run(() => 'ran')).resolves.toBeUndefined();

    body.resolve(undefined);
    await Promise.all([running, ended]);
  });

  it('begins no body once the signal of its term has aborted', async () => {
    const locks = service(new MemoryBackend());
    const leadership = locks.leader('reports');
    const { signal } = await elected(leadership);
    const body = pending<undefined>();
    const running = leadership.run(() => body.promise);
    await locks.revoke('reports', { grace: 0 });
    await eventually('it is asked to end', () => signal.aborted);

    await expect(leadership.run(() => 'ran')).resolves.toBeUndefined();

    body.resolve(undefined);
    await running;
  });

  it('stands again only when what ran under a lost term has settled', async () => {
    const backend = new MemoryBackend();
    const leadership = service(backend).leader('reports');
    const { fencingToken } = await elected(leadership);
    const body = pending<undefined>();
    const running = leadership.run(() => body.promise);
    let again = 0;
    leadership.onElected((term) => {
      if (term.fencingToken > fencingToken) again = term.fencingToken;
    });

    const others = service(backend);
    await others.forceRelease('reports');
    // Another one is let in, and has gone: so it is free.
    const other = others.leader('reports');
    await elected(other);
    await other.withdraw();
    expect(again).toBe(0);

    body.resolve(undefined);
    await expect(running).rejects.toThrow(LockLostError);
    await eventually('elected again', () => again > fencingToken);
  });

  it('is under the lock of the leader', async () => {
    const locks = service(new MemoryBackend());
    const leadership = locks.leader('reports');
    const { fencingToken } = await elected(leadership);

    await leadership.run(async () => {
      expect(locks.current('reports')?.fencingToken).toBe(fencingToken);
      await expect(locks.withLock('reports', () => 'ran')).rejects.toThrow(LockReentrancyError);
      await expect(
        locks.withLock('reports', { reentrant: true }, (lock) => lock.fencingToken),
      ).resolves.toBe(fencingToken);
    });

    expect(locks.current('reports')).toBeUndefined();
    expect(leadership.isLeader).toBe(true);
  });

  it('rejects when the term was lost meanwhile, unless the body has an error of its own', async () => {
    const backend = new WatchedBackend();
    const leadership = service(backend).leader('reports');
    await elected(leadership);
    await expect(leadership.run(() => backend.lose('reports'))).rejects.toThrow(LockLostError);

    await eventually('elected again', () => leadership.isLeader);
    const running = leadership.run(() => {
      backend.lose('reports');
      throw new TypeError('of the body');
    });
    await expect(running).rejects.toThrow(TypeError);
  });

  it('at shutdown has the grace of the service', async () => {
    const locks = service(new MemoryBackend(), 5_000);
    const leadership = locks.leader('reports');
    await elected(leadership);
    const reasons: unknown[] = [];
    const running = leadership.run(async ({ signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      reasons.push((signal.reason as LockLostError).reason);
      return 'done';
    });
    await eventually('it runs', () => leadership.isLeader);
    await locks.close();
    await expect(running).resolves.toBe('done');
    expect(reasons).toEqual(['shutdown']);
  });
});

describe('observe', () => {
  it('goes on, and says nothing, while the backend cannot be asked', async () => {
    const backend = new ScriptedBackend();
    const locks = service(backend);
    const leadership = locks.leader('reports');
    const term = await elected(leadership);
    const answers = [
      () => Promise.reject(new LockBackendError('down for a moment')),
      () => Promise.reject(new Error('down in another way')),
      () => Promise.resolve({ holders: [holder(term.fencingToken)], waiters: 0, queue: [] }),
    ];
    backend.inspect = () => answers.shift()!();

    for await (const state of leadership.observe(1)) {
      expect(state).toEqual({ fencingToken: term.fencingToken, isSelf: true });
      break;
    }
    expect(answers).toEqual([]);
  });

  it('ends with the service, also while that lets a body finish, and with the withdrawal', async () => {
    const closing = service(new MemoryBackend(), 60_000);
    const leadership = closing.leader('reports');
    await elected(leadership);
    const body = pending<undefined>();
    const running = leadership.run(() => body.promise);
    const observed = drained(leadership.observe(1));
    const closed = closing.close();
    await expect(observed).resolves.toBeUndefined();
    body.resolve(undefined);
    await Promise.all([running, closed]);

    const other = service(new MemoryBackend()).leader('reports');
    const seen = drained(other.observe('1h'));
    await elected(other);
    await other.withdraw();
    await expect(seen).resolves.toBeUndefined();
  });
});

describe('leader()', () => {
  it('is the same leadership for the same key', () => {
    const locks = service(new MemoryBackend());
    expect(locks.leader('reports', { ttl: '3s' })).toBe(locks.leader('reports', { ttl: 3_000 }));
    expect(locks.leader('reports', { ttl: '3s' })).not.toBe(locks.leader('mails'));
  });

  it('begins anew after a withdrawal', async () => {
    const locks = service(new MemoryBackend());
    await locks.leader('reports').withdraw();
    expect((await elected(locks.leader('reports'))).held).toBe(true);
  });

  it('may have another ttl when it begins anew', async () => {
    const locks = service(new MemoryBackend());
    const leadership = locks.leader('reports');
    await leadership.withdraw();
    expect(locks.leader('reports', { ttl: '3s' })).not.toBe(leadership);
  });

  it('stands on its own when it is called under the lock of its key', async () => {
    const locks = service(new MemoryBackend());
    const leadership = await locks.withLock('reports', () => locks.leader('reports'));
    expect((await elected(leadership)).held).toBe(true);
  });

  it.each([
    [{ ttl: 0 }, 'ttl must be a positive duration of at least 1 ms, got 0'],
    [{ ttl: 9 }, 'ttl must be at least 10 ms on the memory backend, got 9'],
    [{ wait: 5 }, "unknown option 'wait' of a leadership, got 5"],
    ['3s', "options must be an object, got '3s'"],
  ])('refuses %j', (options, message) => {
    const locks = service(new MemoryBackend());
    const bad = () => locks.leader('reports', options as object);
    expect(bad).toThrow(LockConfigurationError);
    expect(bad).toThrow(message);
  });

  it('refuses another ttl for the same key, and a bad key', () => {
    const locks = service(new MemoryBackend());
    locks.leader('reports', { ttl: 3_000 });
    expect(() => locks.leader('reports', { ttl: 4_000 })).toThrow(
      'the leadership "reports" has a ttl of 3000 ms already, got 4000',
    );
    expect(() => locks.leader('')).toThrow(LockKeyError);
  });
});
