import { inspect } from 'node:util';
import { Module } from '@nestjs/common';
import {
  Locked,
  LockConfigurationError,
  LockedStream,
  LockModule,
  type LockOptions,
  LockService,
  MemoryBackend,
} from 'nestjs-lock';
import { RedisBackend, type RedisBackendOptions } from 'nestjs-lock/redis';
import { compile } from '../support/nest-application.js';
import { ScriptedBackend } from '../support/scripted-backend.js';

const MEGABYTE = 'x'.repeat(1_000_000);
const ODD_STRINGS = ['a}{b', '{', 'a\0b', '🔒', '\uD800', MEGABYTE];
const MANY_PROPERTIES = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`p${n}`, n]));

const NO_NUMBERS: unknown[] = [
  null,
  true,
  false,
  {},
  MANY_PROPERTIES,
  [],
  [1_000],
  Symbol('s'),
  10n,
  () => 1_000,
  Object(1_000),
  new Date(1_000),
  new Error('1000'),
];
const NO_DURATIONS: unknown[] = [
  ...NO_NUMBERS,
  ...ODD_STRINGS,
  NaN,
  -1,
  -0.001,
  -Infinity,
  2 ** 31,
  2 ** 31 + 0.5,
  Number.MAX_SAFE_INTEGER,
  Number.MAX_VALUE,
  '',
  ' ',
  'soon',
  'NaN',
  'Infinity',
  '-1s',
  '1 fortnight',
  '25 days',
  '1s 500ms',
  '0x10',
  '1e3',
];
const NO_POSITIVE_DURATIONS: unknown[] = [...NO_DURATIONS, 0, -0, '0', '0s', Infinity];
const NO_BOOLEANS: unknown[] = [null, 0, 1, NaN, 'true', '', {}, [], Symbol('s'), ...ODD_STRINGS];
const NO_OBJECTS: unknown[] = [null, 0, 30_000, NaN, true, 'ttl', '', 10n, Symbol('s'), () => ({})];

/** What makes no sense for each option. */
const BAD: Record<keyof LockOptions, unknown[]> = {
  ttl: [...NO_POSITIVE_DURATIONS, 1, 9],
  wait: NO_DURATIONS,
  maxHold: NO_POSITIVE_DURATIONS,
  renew: NO_BOOLEANS,
  reentrant: NO_BOOLEANS,
  signal: [null, true, 'abort', {}, { aborted: false }, new AbortController(), new EventTarget()],
  mode: [null, true, 1, '', 'Shared', 'EXCLUSIVE', ...ODD_STRINGS],
  limit: [null, true, 0, -1, 1.5, NaN, Infinity, '1', 1n, 2 ** 53],
  minHold: [null, false, -1, NaN, 'soon', Infinity, 2 ** 31],
  template: [null, 0, true, '', {}, ['order'], 'x'.repeat(201), '\uD800'],
};

const cases = Object.entries(BAD).flatMap(([option, values]) =>
  values.map((value) => [option, value] as const),
);
const titled = <T extends readonly unknown[]>(rows: readonly T[]) =>
  rows.map((row) => [row.map((cell) => brief(cell)).join(': '), ...row] as const);

/** How a value begins when it is shown: of an object the names of its properties. */
function brief(value: unknown): string {
  if (Object.prototype.toString.call(value) === '[object Object]') {
    const [name] = Object.keys(value as object);
    return name === undefined ? '{}' : `{ ${name}`;
  }
  const inside = typeof value === 'object' && !Array.isArray(value) && !(value instanceof Error);
  const depth = inside ? -1 : 0;
  const [line = ''] = inspect(value, { depth, breakLength: Infinity }).split('\n');
  return line.slice(0, 12);
}

/** Asserts that it is refused with an error that names the option and shows what was given. */
async function expectRefused(
  option: string,
  value: unknown,
  attempt: () => unknown,
  text = brief(value),
): Promise<void> {
  let error: unknown;
  try {
    await attempt();
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(LockConfigurationError);
  const { message } = error as LockConfigurationError;
  expect(message).toContain(option);
  expect(message).toContain(text);
  expect(message.length).toBeLessThan(500);
}

let backend: ScriptedBackend;
let locks: LockService;

beforeEach(() => {
  backend = new ScriptedBackend();
  locks = new LockService({ backend });
});

describe('an option that makes no sense is refused, and nothing reaches the backend', () => {
  afterEach(() => {
    if (backend.connections + backend.calls > 0) throw new Error('the backend was asked');
  });

  it('a limit of readers', async () => {
    const options = { mode: 'shared', limit: 2 } as const;
    await expectRefused('limit', 2, () => locks.acquire('k', options));
    await expectRefused('limit', 2, () => new LockService({ backend, ...options }));
    const readers = new LockService({ backend, mode: 'shared' });
    await expectRefused('limit', 2, () => readers.acquire('k', { limit: 2 }));
  });

  it.each([
    ['shared', 'mode', { mode: 'shared' }],
    ['limit', 'limit', { limit: 2 }],
  ] as const)('what the backend does not support: %s', async (feature, option, options) => {
    const less = Object.assign(backend, { supports: { ...backend.supports, [feature]: false } });
    const [value] = Object.values<unknown>(options);
    await expectRefused(option, value, () => locks.acquire('k', options));
    await expectRefused(option, value, () => new LockService({ backend: less, ...options }));
  });

  it.each(titled([null, 1, 'x'.repeat(101), '\ud800', {}].map((label) => [label] as const)))(
    'label: %s',
    (_, label) => expectRefused('label', label, () => new LockService({ label: label as string })),
  );

  it.each(
    titled([
      ['reason', 7],
      ['reason', null],
      ['grace', -1],
      ['grace', 'soon'],
      ['graze', 1],
    ] as const),
  )('of a revocation: %s', (_, option, value) =>
    expectRefused(option, value, () => locks.revoke('k', { [option]: value })),
  );

  it.each(titled(cases))('%s', async (_, option, value) => {
    await expectRefused(option, value, () => locks.acquire('k', { [option]: value }));
  });

  it.each(
    titled(
      ['tll', 'TTL', 'timeout', '', 'constructor', '__proto__', ...ODD_STRINGS].map((name) => [
        name,
      ]),
    ),
  )('unknown: %s', async (_, name) => {
    const options = Object.fromEntries([[name, 4711]]);
    await expectRefused(brief(name), 4711, () => locks.acquire('k', options));
  });

  it.each(
    titled(
      [...NO_OBJECTS, [], ['ttl'], new Map([['ttl', 5]]), new Date(0)].map((value) => [value]),
    ),
  )('instead of options: %s', async (_, value) => {
    await expectRefused('options', value, () => locks.acquire('k', value as LockOptions));
  });

  it.each([
    ['acquire', () => locks.acquire('k', { ttl: -7 })],
    ['tryAcquire', () => locks.tryAcquire('k', { ttl: -7 })],
    ['withLock', () => locks.withLock('k', { ttl: -7 }, notToBeRun)],
    ['new LockService', () => new LockService({ backend, ttl: -7 })],
    ['forRoot', () => compile({ imports: [LockModule.forRoot({ backend, ttl: -7 })] })],
    [
      'forRootAsync',
      () =>
        compile({
          imports: [LockModule.forRootAsync({ useFactory: () => ({ backend, ttl: -7 }) })],
        }),
    ],
    ['@Locked', () => decorated(Locked('k', { ttl: -7 }))],
    ['@LockedStream', () => decorated(LockedStream('k', { ttl: -7 }))],
  ])('at every door: %s', async (_, attempt) => {
    await expectRefused('ttl', -7, attempt);
  });

  it('whatever follows: a good option does not make up for a bad one', async () => {
    await expectRefused('wait', -1, () =>
      locks.acquire('k', { ttl: '1m', wait: -1, renew: true, reentrant: true }),
    );
  });

  it('withLock without a body', async () => {
    for (const body of [undefined, null, 'body', {}, 5]) {
      const withLock = locks.withLock.bind(locks) as (...args: unknown[]) => Promise<unknown>;
      await expectRefused('function', body, () => withLock('k', body));
      await expectRefused('function', body, () => withLock('k', {}, body));
    }
    await expectRefused('function', undefined, () =>
      (locks.withLock as (key: string) => unknown).call(locks, 'k'),
    );
  });

  it('a ttl that is good by itself, and too short for the backend', async () => {
    for (const ttl of [1, 5, 8.99, '9', '9ms']) {
      await expectRefused('scripted', 10, () => locks.acquire('k', { ttl }));
      await expectRefused('scripted', 10, () => new LockService({ backend, ttl }));
      const instance = locks.attach(new (decorated(Locked('k', { ttl })))());
      await expectRefused('scripted', 10, () => instance.run());
    }
  });
});

describe('an option that makes sense reaches the backend as it was meant', () => {
  afterEach(async () => {
    await locks.close();
  });

  it.each([
    [10, 10],
    [10.2, 11],
    ['10', 10],
    ['250ms', 250],
    ['1.5s', 1_500],
    ['2 minutes', 120_000],
    ['24 days', 24 * 86_400_000],
    [2 ** 31 - 1, 2 ** 31 - 1],
    [undefined, 30_000],
  ])('ttl: %p', async (ttl, milliseconds) => {
    // One of 10 ms may be over before it can be believed in.
    const lock = await locks.acquire('k', { ttl }).catch(() => undefined);
    expect(backend.asked.acquire[0]).toMatchObject({ ttl: milliseconds });
    await lock?.release();
  });

  it.each([0, -0, '0', '0s', 0.5, 10, '1s', 2 ** 31 - 1, Infinity, undefined])(
    'wait: %p',
    async (wait) => {
      const lock = await locks.acquire('k', { wait });
      const once = [0, -0, '0', '0s'].includes(wait as string | number);
      expect(backend.asked.acquire).toMatchObject([{ queue: !once }]);
      await lock.release();
    },
  );

  it('mode and limit are what the backend is asked for', async () => {
    const reader = await locks.acquire('k', { mode: 'shared' });
    const permit = await locks.acquire('permits', { limit: 5, minHold: 0 });
    expect(backend.asked.acquire).toMatchObject([
      { mode: 'shared', limit: 1 },
      { mode: 'exclusive', limit: 5 },
    ]);
    await Promise.all([reader.release(), permit.release()]);
  });

  it('undefined is as good as nothing', async () => {
    const undefineds = Object.fromEntries(Object.keys(BAD).map((option) => [option, undefined]));
    const lock = await locks.acquire('k', undefineds);
    expect(backend.asked.acquire).toMatchObject([{ ttl: 30_000, queue: true }]);
    await lock.release();
  });

  it('what a call says wins over what the module says', async () => {
    const own = new LockService({ backend, ttl: '1m', wait: 0 });
    const first = await own.acquire('k');
    const second = await own.acquire('k', { ttl: '2m', wait: '1s' });
    expect(backend.asked.acquire).toMatchObject([
      { ttl: 60_000, queue: false },
      { ttl: 120_000, queue: true },
    ]);
    await Promise.all([first.release(), second.release()]);
    await own.close();
  });
});

describe('options of the module', () => {
  it.each(titled(NO_DURATIONS.concat(Infinity).map((value) => [value])))(
    'refused: shutdownGrace: %s',
    async (_, shutdownGrace) => {
      await expectRefused(
        'shutdownGrace',
        shutdownGrace,
        () => new LockService({ backend, shutdownGrace: shutdownGrace as number }),
      );
    },
  );

  it('what is refused is not offered in the same breath', () => {
    expect(() => new LockService({ backend, shutdownGrace: Infinity })).not.toThrow(/or Infinity/);
  });

  it.each(
    titled(
      [
        null,
        0,
        true,
        '',
        'redis',
        {},
        [],
        { connect: 5 },
        MemoryBackend,
        { connect: () => ({}) },
      ].map((value) => [value]),
    ),
  )('refused: backend: %s', async (_, value) => {
    await expectRefused(
      'backend',
      value,
      () => new LockService({ backend: value as unknown as MemoryBackend }),
    );
    await expectRefused('backend', value, () =>
      compile({ imports: [LockModule.forRoot({ backend: value as unknown as MemoryBackend })] }),
    );
  });

  it.each(titled([null, 5, 'redis', true, []].map((value) => [value])))(
    'refused instead of options: %s',
    async (_, value) => {
      await expectRefused('options', value, () => new LockService(value as object));
      await expectRefused('options', value, () =>
        compile({ imports: [LockModule.forRootAsync({ useFactory: () => value as object })] }),
      );
    },
  );

  it('refused: a factory that forgot to return them', async () => {
    await expectRefused('options', undefined, () =>
      compile({
        imports: [LockModule.forRootAsync({ useFactory: () => undefined as unknown as object })],
      }),
    );
  });

  it.each(titled(['', 5, null, true, {}, Symbol('s')].map((value) => [value])))(
    'refused: name: %s',
    async (_, value) => {
      const name = value as string;
      await expectRefused('name', value, () =>
        compile({ imports: [LockModule.forRoot({ name })] }),
      );
      await expectRefused('name', value, () => decorated(Locked('k', { name })));
      await expectRefused('name', value, () => decorated(LockedStream('k', { name })));
    },
  );

  it('bad ones stop the application at its start, wherever they come from', async () => {
    class Options {
      createLockOptions() {
        return { maxHold: -7 };
      }
    }
    @Module({ providers: [Options], exports: [Options] })
    class OptionsModule {}

    for (const asked of [
      { useClass: Options },
      { imports: [OptionsModule], useExisting: Options },
      { useFactory: () => Promise.resolve({ maxHold: -7 }) },
    ]) {
      await expectRefused('maxHold', -7, () =>
        compile({ imports: [LockModule.forRootAsync(asked)] }),
      );
    }
  });
});

describe('options of the decorators', () => {
  it.each(titled([null, 0, true, 'ignore', '', {}, [], NaN].map((value) => [value])))(
    'refused: onBusy: %s',
    async (_, onBusy) => {
      await expectRefused('onBusy', onBusy, () =>
        decorated(Locked('k', { onBusy: onBusy as 'skip' })),
      );
    },
  );

  it('refused: onBusy of a stream, which has no result to put in its place', async () => {
    const options: object = { onBusy: 'skip' };
    await expectRefused('onBusy', 'skip', () => decorated(LockedStream('k', options)));
  });

  it.each(titled(cases.filter(([option]) => option !== 'signal')))(
    'refused: %s',
    async (_, option, value) => {
      // Whether the backend can keep a ttl is known at the call.
      if (option === 'ttl' && typeof value === 'number' && value >= 1 && value < 10) return;
      await expectRefused(option, value, () => decorated(Locked('k', { [option]: value })));
    },
  );

  it.each(titled([...NO_OBJECTS, []].map((value) => [value])))(
    'refused instead of options: %s',
    async (_, value) => {
      await expectRefused('options', value, () => decorated(Locked('k', value as object)));
    },
  );

  it('refused: a signal, as all calls would share it', async () => {
    const { signal } = new AbortController();
    const options: object = { signal };
    await expectRefused('signal', signal, () => decorated(Locked('k', options)));
  });

  it('say which method they were put on', () => {
    expect(() => decorated(Locked('k', { ttl: -7 }))).toThrow('Decorated.run');
  });
});

describe('options of RedisBackend', () => {
  const url = 'redis://localhost';
  const make = (options: unknown) => new RedisBackend(options as RedisBackendOptions);

  it.each(
    titled(
      [
        null,
        0,
        true,
        '',
        'localhost',
        'http://localhost',
        '//localhost',
        'redis://[',
        'redis://localhost:99999',
        {},
        ...ODD_STRINGS,
      ].map((value) => [value]),
    ),
  )('refused: url: %s', async (_, value) => {
    // What is no host may be a part of a password.
    const odd = typeof value === 'string' && !/^[\w:/]*$/.test(value);
    await expectRefused('url', value, () => make({ url: value }), odd ? '***' : undefined);
  });

  it.each(titled([null, 0, true, 'localhost', '', () => undefined].map((value) => [value])))(
    'refused: options: %s',
    async (_, value) => {
      await expectRefused('options', value, () => make({ options: value }));
    },
  );

  it.each(titled([null, 0, true, 'localhost', {}, { duplicate: 5 }].map((value) => [value])))(
    'refused: client: %s',
    async (_, value) => {
      await expectRefused('client', value, () => make({ client: value }));
    },
  );

  it.each(
    titled(
      [null, 0, true, '', ' ', 'a b', 'a\n', 'a}{b', '{', {}, [], '\uD800', MEGABYTE].map(
        (value) => [value],
      ),
    ),
  )('refused: namespace: %s', async (_, value) => {
    await expectRefused('namespace', value, () => make({ url, namespace: value }));
  });

  it.each(titled(NO_POSITIVE_DURATIONS.map((value) => [value])))(
    'refused: commandTimeout: %s',
    async (_, value) => {
      await expectRefused('commandTimeout', value, () => make({ url, commandTimeout: value }));
    },
  );

  it.each(titled([null, undefined, 5, true, 'redis://localhost', []].map((value) => [value])))(
    'refused instead of options: %s',
    async (_, value) => {
      await expectRefused('options', value, () => make(value));
    },
  );

  it('refused: not exactly one way to the server', async () => {
    await expectRefused('exactly one of url, options, client and cluster', [], () => make({}));
    await expectRefused('exactly one of url, options, client and cluster', ['url', 'options'], () =>
      make({ url, options: {} }),
    );
    await expectRefused('exactly one of url, options, client and cluster', [], () =>
      make({ namespace: 'n' }),
    );
  });

  it.each([
    ['cluster', 'redis://h', 'cluster must be a list of URLs'],
    ['cluster', [], 'cluster must be a list of URLs'],
    ['cluster', ['h:7000'], 'url must be a redis:// or rediss:// URL'],
    ['cluster', ['redis://h/3'], 'database 0'],
  ])('refused instead of a %s: %j', (_, cluster, message) => {
    expect(() => make({ cluster })).toThrow(LockConfigurationError);
    expect(() => make({ cluster })).toThrow(message);
  });

  it('refused: what makes no sense', () => {
    const cluster = ['redis://h'];
    const refused: readonly [object, RegExp][] = [
      [{ url, failoverGrace: 'maybe' }, /failoverGrace must be .* got 'maybe'/],
      [{ url, longestTtl: -1 }, /longestTtl must be .* got -1/],
      [{ url, replicas: 1.5 }, /replicas must be a whole number from 0, got 1\.5/],
      [{ cluster, failoverGrace: 'on' }, /failoverGrace is for one node .* Cluster/],
      [{ cluster, replicas: 1 }, /replicas is for one node .* Cluster/],
    ];
    for (const [options, message] of refused) expect(() => make(options)).toThrow(message);
  });

  it('refused: what it does not know', async () => {
    await expectRefused('nameSpace', 'mine', () => make({ url, nameSpace: 'mine' }));
    await expectRefused('host', 'localhost', () => make({ url, host: 'localhost' }));
  });

  it('refused without telling a password', () => {
    const secret = 'hunter2';
    for (const options of [
      { url: `http://user:${secret}@localhost` },
      { url: `http://user:${secret}@x@localhost` },
      { url: `http://user:x/${secret}@localhost` },
      { url, password: secret },
      { client: `redis://user:${secret}@localhost` },
      { options: `redis://user:${secret}@localhost` },
    ]) {
      expect(() => make(options)).toThrow(LockConfigurationError);
      expect(() => make(options)).not.toThrow(secret);
    }
  });

  it('taken: what makes sense, without connecting', () => {
    for (const options of [
      { url },
      { url: 'rediss://user:pass@example.com:6380/3' },
      { options: { host: 'localhost', db: 5 } },
      { client: { options: { keyPrefix: 'p:' }, duplicate: notToBeRun } },
      { url, namespace: 'orders-7.eu:🎟' },
      { url, commandTimeout: '500ms' },
      { url, namespace: undefined, commandTimeout: undefined, client: undefined },
    ]) {
      expect(make(options)).toMatchObject({ name: 'redis', minTtl: 10 });
    }
  });
});

function notToBeRun(): never {
  throw new Error('it ran');
}

/** A class whose method is decorated at run time. */
function decorated(decorator: unknown): new () => { run(): Promise<void> } {
  class Decorated {
    async run(): Promise<void> {
      notToBeRun();
    }
  }
  const descriptor = Object.getOwnPropertyDescriptor(Decorated.prototype, 'run')!;
  (decorator as MethodDecorator)(Decorated.prototype, 'run', descriptor);
  Object.defineProperty(Decorated.prototype, 'run', descriptor);
  return Decorated;
}
