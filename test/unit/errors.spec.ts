import { jest } from '@jest/globals';
import * as library from 'nestjs-lock';

/** One of each kind, made by the given copy of the package. */
const make = {
  LockTimeoutError: ({ LockTimeoutError }: typeof library) => new LockTimeoutError('k', 500),
  LockLostError: ({ LockLostError }: typeof library) =>
    new LockLostError('k', 'stolen', { cause: 'a cause' }),
  LockReentrancyError: ({ LockReentrancyError }: typeof library) => new LockReentrancyError('k'),
  LockKeyError: ({ LockKeyError }: typeof library) => new LockKeyError('bad key', 'k'),
  LockNotWiredError: ({ LockNotWiredError }: typeof library) =>
    new LockNotWiredError('Orders.ship'),
  LockConfigurationError: ({ LockConfigurationError }: typeof library) =>
    new LockConfigurationError('bad option'),
  LockBackendError: ({ LockBackendError }: typeof library) =>
    new LockBackendError('down', 'k', { cause: new Error('refused') }),
  LockShutdownError: ({ LockShutdownError }: typeof library) => new LockShutdownError('k'),
};

const kinds = Object.keys(make) as (keyof typeof make)[];
let copy: typeof library;

beforeAll(async () => {
  jest.resetModules();
  copy = await import('nestjs-lock');
});

it('there are really two copies of the package here', () => {
  expect(copy.LockError).not.toBe(library.LockError);
});

it('no kind is forgotten here', () => {
  const exported = Object.keys(library).filter((name) => name.endsWith('Error'));
  expect(exported.sort()).toEqual(['LockError', ...kinds].sort());
});

it('each kind has a code of its own, which says its name', () => {
  const codes = kinds.map((kind) => make[kind](library).code);
  expect(codes).toEqual(
    kinds.map((kind) =>
      kind
        .replace('Error', '')
        .replace(/(?<=[a-z])(?=[A-Z])/g, '_')
        .toUpperCase(),
    ),
  );
});

describe.each(kinds)('%s', (kind) => {
  it('is known by every copy of the package, as what it is and nothing else', () => {
    for (const [maker, judge] of [
      [library, library],
      [library, copy],
      [copy, library],
    ] as const) {
      const error = make[kind](maker);
      expect(error).toBeInstanceOf(Error);
      expect(error).toBeInstanceOf(judge.LockError);
      expect(kinds.filter((other) => error instanceof judge[other])).toEqual([kind]);
    }
  });

  it('says what it is, where it came from and what it is about', () => {
    const error = make[kind](library);
    expect(error.name).toBe(kind);
    expect(String(error)).toBe(`${kind}: ${error.message}`);
    expect(error.stack).toContain('errors.spec');
    const aboutNoKey = kind === 'LockNotWiredError' || kind === 'LockConfigurationError';
    expect(error.key).toBe(aboutNoKey ? undefined : 'k');
    expect(error.message.length).toBeGreaterThan(3);
  });

  it('shows nothing but its own facts when it is logged', () => {
    const facts = ['code', 'key', 'wait', 'reason', 'method'];
    expect(Object.keys(make[kind](library)).filter((fact) => !facts.includes(fact))).toEqual([]);
  });
});

it('what is no error of ours is none', () => {
  const { LockError, LockTimeoutError } = library;
  const strangers: unknown[] = [
    new Error('x'),
    new RangeError('x'),
    { code: 'LOCK_TIMEOUT' },
    Object.assign(new Error('x'), { code: 'LOCK_TIMEOUT' }),
    null,
    undefined,
    'LOCK_TIMEOUT',
    5,
    Object.create(null),
    () => undefined,
  ];
  for (const stranger of strangers) {
    expect(stranger instanceof LockError).toBe(false);
    expect(stranger instanceof LockTimeoutError).toBe(false);
  }
});

it('a class that extends one of ours is more special, as usual', () => {
  class OutOfStock extends library.LockTimeoutError {}
  class OtherStock extends library.LockTimeoutError {}
  const error = new OutOfStock('k', 0);
  expect(error).toBeInstanceOf(OutOfStock);
  expect(error).toBeInstanceOf(library.LockTimeoutError);
  expect(error).toBeInstanceOf(copy.LockTimeoutError);
  expect(error instanceof OtherStock).toBe(false);
  expect(make.LockTimeoutError(library) instanceof OutOfStock).toBe(false);
  expect(error.name).toBe('OutOfStock');
});

it('facts of a kind are told', () => {
  expect(make.LockTimeoutError(library)).toMatchObject({ wait: 500 });
  expect(make.LockTimeoutError(library).message).toContain('500 ms');
  expect(new library.LockTimeoutError('k', 0).message).toBe('Lock "k" is held by another');
  expect(make.LockLostError(library)).toMatchObject({ reason: 'stolen', cause: 'a cause' });
  expect(make.LockNotWiredError(library)).toMatchObject({ method: 'Orders.ship' });
  expect(make.LockBackendError(library).cause).toEqual(new Error('refused'));
});

it('each reason of a loss has words of its own', () => {
  const reasons = [
    'expired',
    'stolen',
    'revoked',
    'maxHold',
    'shutdown',
    'backend',
    'released',
  ] as const;
  const messages = reasons.map((reason) => new library.LockLostError('k', reason).message);
  expect(new Set(messages).size).toBe(reasons.length);
  expect(messages.every((message) => message.startsWith('Lock "k" '))).toBe(true);
});

it('a lock that another copy of the package lost is lost here too', async () => {
  const locks = new copy.LockService({ ttl: 50, renew: false, shutdownGrace: 0 });
  const lock = await locks.acquire('k');
  await new Promise((resolve) => {
    lock.signal.addEventListener('abort', resolve);
  });
  expect(lock.signal.reason).toBeInstanceOf(library.LockLostError);
  await locks.close();
});
