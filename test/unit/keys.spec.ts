import { inspect } from 'node:util';
import { jest } from '@jest/globals';
import {
  Locked,
  LockConfigurationError,
  LockedStream,
  LockKeyError,
  LockService,
} from 'nestjs-lock';
import { ScriptedBackend } from '../support/scripted-backend.js';

const MEGABYTE = 'x'.repeat(1_000_000);

let backend: ScriptedBackend;
let locks: LockService;

beforeEach(() => {
  backend = new ScriptedBackend();
  locks = new LockService({ backend });
});

afterEach(async () => {
  await locks.close();
});

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

const titled = (values: readonly unknown[]) =>
  values.map((value) => [brief(value), value] as const);

/** Asserts that it is refused, by an error that has all these parts, and nothing reaches the backend. */
async function expectRefused(
  kind: typeof LockKeyError | typeof LockConfigurationError,
  parts: readonly string[],
  attempt: () => unknown,
): Promise<void> {
  let error: unknown;
  try {
    await attempt();
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(kind);
  const { message } = error as Error;
  for (const part of parts) expect(message).toContain(part);
  expect(message.length).toBeLessThan(500);
  expect(backend.calls).toBe(0);
}

/** Ways to ask for a lock, all of which must look at the key first. */
const doors: Record<string, (key: string) => Promise<unknown>> = {
  acquire: (key) => locks.acquire(key),
  tryAcquire: (key) => locks.tryAcquire(key),
  withLock: (key) => locks.withLock(key, notToBeRun),
  inspect: (key) => locks.inspect(key),
  '@Locked': (key) => locks.attach(new (decorated(Locked(() => key)))()).run(),
  '@LockedStream': async (key) => {
    for await (const one of locks.attach(new (decoratedStream(() => key))()).run()) return one;
  },
};

describe.each(Object.keys(doors))('%s', (door) => {
  const ask = (key: unknown) => doors[door]!(key as string);

  it.each(
    titled([
      undefined,
      null,
      true,
      0,
      7,
      NaN,
      10n,
      {},
      Symbol('s'),
      () => 'k',
      Object('k'),
      Buffer.from('k'),
      new Date(0),
      new Error('k'),
      Promise.resolve('k'),
    ]),
  )('refuses a key that is no string: %s', async (shown, key) => {
    await expectRefused(LockKeyError, ['key must be a string', shown], () => ask(key));
  });

  it('refuses an empty key', async () => {
    await expectRefused(LockKeyError, ['key must not be empty', "''"], () => ask(''));
  });

  it.each([
    ['of 1025 letters', 'x'.repeat(1025), '1025'],
    ['of 342 letters of three bytes', '鍵'.repeat(342), '1026'],
    ['of 257 letters of four bytes', '🔒'.repeat(257), '1028'],
    ['of a megabyte', MEGABYTE, '1000000'],
    ['of a megabyte of lone surrogates', '\uD800'.repeat(333_333), '999999'],
  ])('refuses a key %s', async (_, key, bytes) => {
    await expectRefused(LockKeyError, ['at most 1024 bytes', bytes, brief(key)], () => ask(key));
  });

  it.each(['\uD800', '\uDFFF', 'a\uD800', '\uDC00\uD800', '🔒\uD83D', 'x'.repeat(1000) + '\uDC00'])(
    'refuses a key that UTF-8 cannot tell from others: %p',
    async (key) => {
      await expectRefused(LockKeyError, ['lone surrogate', brief(key)], () => ask(key));
    },
  );

  it.each([[[]], [['a', '']], [['a', 7]], [[['a']]]])('refuses %j', async (keys) => {
    await expectRefused(LockKeyError, ['key must'], () => ask(keys));
  });
});

describe('a key that makes sense reaches the backend as it is', () => {
  it.each(
    titled([
      'k',
      ' ',
      'a b',
      '\0',
      'a\0b',
      '\n',
      'a}{b',
      '{k}',
      '{0.id}',
      '{{k}}',
      '*',
      '__proto__',
      'constructor',
      'é',
      'e\u0301',
      '🔒',
      '\u{10FFFF}',
      '\uFEFF',
      'x'.repeat(1024),
      '鍵'.repeat(341),
      '🔒'.repeat(256),
    ]),
  )('%s', async (_, given) => {
    const key = given as string;
    const lock = await locks.acquire(key);
    expect(lock.key).toBe(key);
    await lock.release();
    await locks.withLock(key, () => undefined);
    await locks.inspect(key);
    expect(backend.asked.acquire.map((request) => request.key)).toEqual([key, key]);
    expect(backend.asked.release.map((lease) => lease.key)).toEqual([key, key]);
    expect(backend.asked.inspect).toEqual([key]);
  });
});

describe('a key template', () => {
  /** The key that a call of a method with this template asks for. */
  async function keyOf(template: string, args: unknown[]): Promise<string | undefined> {
    const Decorated = decorated(Locked(template), () => Promise.resolve());
    await locks.attach(new Decorated()).run(...args);
    expect(backend.asked.acquire).toHaveLength(1);
    return backend.asked.acquire[0]?.key;
  }

  it.each<[template: string, args: unknown[], key: string]>([
    ['report', [], 'report'],
    ['report', ['not asked for'], 'report'],
    ['order:{0}', [7], 'order:7'],
    ['{0}', ['x'], 'x'],
    ['order:{0.id}', [{ id: 'x' }], 'order:x'],
    ['{0.customer.address.city}', [{ customer: { address: { city: 'Bonn' } } }], 'Bonn'],
    ['{1.tags.0}', [null, { tags: ['a'] }], 'a'],
    ['{0}:{1}', ['a', 'b'], 'a:b'],
    ['{1}{0}', ['a', 'b'], 'ba'],
    ['{0}{0}', ['a'], 'aa'],
    ['{11}', Array.from({ length: 12 }, (_, n) => n), '11'],
    ['{0.length}', ['abc'], '3'],
    ['{0.a-b}:{0.é}:{0.🔒}:{0.$}', [{ 'a-b': 1, é: 2, '🔒': 3, $: 4 }], '1:2:3:4'],
    ['{0.id}', [Object.create({ id: 'inherited' })], 'inherited'],
    ['{0}', [0], '0'],
    ['{0}', [-0], '0'],
    ['{0}', [1.5], '1.5'],
    ['{0}', [10n], '10'],
    ['{0}', [false], 'false'],
    ['{0}', [' '], ' '],
    ['{0}', ['a}{b'], 'a}{b'],
    ['{0}', ['{1}', 'not filled in again'], '{1}'],
    ['{0}', ['{{'], '{{'],
    ['{{0}}', [7], '{0}'],
    ['{{{0}}}', [7], '{7}'],
    ['{{', [], '{'],
    ['a}}{{b', [], 'a}{b'],
    ['{{{{', [], '{{'],
    ['{0}}}{{{0}', [7], '7}{7'],
    ['a\0b:{0}', ['🔒'], 'a\0b:🔒'],
  ])('%p of %p is %p', async (template, args, key) => {
    expect(await keyOf(template, args)).toBe(key);
  });

  it.each(
    titled([
      '{',
      '}',
      '{}',
      'a{',
      'a}',
      '}{',
      'a}{b',
      '{0',
      '0}',
      '{0}}',
      '{{0}',
      '{id}',
      '{id.0}',
      '{-1}',
      '{+1}',
      '{0x1}',
      '{ 0}',
      '{0 }',
      '{0.}',
      '{.0}',
      '{0..id}',
      '{0.id.}',
      '{0.a b}',
      '{0.{1}}',
      '{{0}{1}}',
      '{0?.id}',
      '{0[id]}',
      '{0,1}',
      '{\n0}',
      `{${MEGABYTE}}`,
      `${MEGABYTE}{`,
    ]),
  )('that is not well-formed is refused at the decoration: %s', async (shown, given) => {
    const template = given as string;
    for (const decorate of [() => decorated(Locked(template)), () => decoratedStream(template)]) {
      await expectRefused(LockConfigurationError, ['not well-formed', shown], decorate);
    }
  });

  it.each(titled([undefined, null, 5, true, {}, [], ['a', 'b'], Symbol('s'), 10n]))(
    'that is none is refused at the decoration: %s',
    async (shown, key) => {
      await expectRefused(LockConfigurationError, ['Decorated.run', 'key', shown], () =>
        decorated(Locked(key as string)),
      );
      await expectRefused(LockConfigurationError, ['Decorated.run', 'key', shown], () =>
        decoratedStream(key as string),
      );
    },
  );

  it.each([
    ['empty', '', "''"],
    ['a megabyte', MEGABYTE, '1000000'],
    ['no Unicode', 'a\uD800', 'lone surrogate'],
  ])('that is %s is refused at the decoration', async (_, key, part) => {
    await expectRefused(LockKeyError, ['key', part], () => decorated(Locked(key)));
  });

  it.each<[template: string, args: unknown[], placeholder: string, value: unknown]>([
    ['order:{0}', [], '{0}', undefined],
    ['order:{1}', ['a'], '{1}', undefined],
    ['order:{99999999999999999999}', ['a'], '{99999999999999999999}', undefined],
    ['order:{0}', [null], '{0}', null],
    ['order:{0}', [''], '{0}', ''],
    ['order:{0}', [NaN], '{0}', NaN],
    ['order:{0}', [Infinity], '{0}', Infinity],
    ['order:{0}', [{}], '{0}', {}],
    ['order:{0}', [['a']], '{0}', ['a']],
    ['order:{0}', [new Date(0)], '{0}', new Date(0)],
    ['order:{0}', [Symbol('s')], '{0}', Symbol('s')],
    ['order:{0}', [notToBeRun], '{0}', notToBeRun],
    ['order:{0}', [Promise.resolve(7)], '{0}', Promise.resolve(7)],
    ['order:{0.id}', [], '{0.id}', undefined],
    ['order:{0.id}', [{}], '{0.id}', undefined],
    ['order:{0.id}', [{ id: undefined }], '{0.id}', undefined],
    ['order:{0.id}', [{ id: null }], '{0.id}', null],
    ['order:{0.id}', [null], '{0.id}', null],
    ['order:{0.id}', [7], '{0.id}', undefined],
    ['order:{0.id}', ['seven'], '{0.id}', undefined],
    ['order:{0.user.id}', [{}], '{0.user.id}', undefined],
    ['order:{0.user.id}', [{ user: null }], '{0.user.id}', null],
    ['order:{0.constructor}', [{}], '{0.constructor}', Object],
    ['order:{0.__proto__}', [{}], '{0.__proto__}', Object.prototype],
    ['{0}:{1.id}', ['good', {}], '{1.id}', undefined],
  ])(
    '%p of %p is refused, and the body does not run',
    async (template, args, placeholder, value) => {
      const shown = brief(value);
      const instance = locks.attach(new (decorated(Locked(template)))());
      await expectRefused(LockKeyError, [placeholder, template, shown], () =>
        instance.run(...args),
      );
      const stream = locks.attach(new (decoratedStream(template))());
      await expectRefused(LockKeyError, [placeholder, template, shown], async () => {
        for await (const one of stream.run(...args)) return one;
      });
    },
  );

  it.each([
    ['too long', MEGABYTE, 'at most 1024 bytes'],
    ['no Unicode', 'a\uDC00', 'lone surrogate'],
  ])('of an argument that is %s is refused like any such key', async (_, id, part) => {
    const instance = locks.attach(new (decorated(Locked('order:{0.id}')))());
    await expectRefused(LockKeyError, [part], () => instance.run({ id }));
  });

  it('whose argument throws when it is read is refused with that error', async () => {
    const own = new Error('lazy loading failed');
    const order = {
      get id() {
        throw own;
      },
    };
    const instance = locks.attach(new (decorated(Locked('order:{0.id}')))());
    await expect(instance.run(order)).rejects.toBe(own);
    expect(backend.calls).toBe(0);
  });
});

describe('a key function', () => {
  it('is given the instance and the arguments', async () => {
    const seen: unknown[] = [];
    const key = function (this: unknown, ...args: unknown[]) {
      seen.push(this, args);
      return args.join(':');
    };
    const Decorated = decorated(Locked(key), () => Promise.resolve());
    const instance = locks.attach(new Decorated());
    await instance.run('a', 2);
    expect(seen).toEqual([instance, ['a', 2]]);
    expect(backend.asked.acquire).toMatchObject([{ key: 'a:2' }]);
  });

  it('that throws is the end of the call, and the body does not run', async () => {
    const own = new Error('no such order');
    const key = () => {
      throw own;
    };
    await expect(locks.attach(new (decorated(Locked(key)))()).run()).rejects.toBe(own);
    expect(backend.calls).toBe(0);
  });

  it('that is asynchronous is refused, and its promise is not left to reject unheard', async () => {
    const promise = Promise.reject(new Error('no such order'));
    promise.catch(() => undefined); // or a failure here would end the process
    const heard = jest.spyOn(promise, 'then');
    const later = (() => promise) as unknown as () => string;
    const instance = locks.attach(new (decorated(Locked(later)))());
    await expect(instance.run()).rejects.toBeInstanceOf(LockKeyError);
    expect(heard).toHaveBeenCalled();
  });
});

function notToBeRun(): never {
  throw new Error('the body ran');
}

/** A class whose method is decorated at run time. */
function decorated(
  decorator: unknown,
  body: () => Promise<void> = notToBeRun,
): new () => { run(...args: unknown[]): Promise<void> } {
  class Decorated {
    async run(..._args: unknown[]): Promise<void> {
      await body();
    }
  }
  apply(decorator, Decorated.prototype);
  return Decorated;
}

/** The same for a method that answers with a stream. */
function decoratedStream(
  key: string | (() => string),
): new () => { run(...args: unknown[]): AsyncIterable<unknown> } {
  class Decorated {
    async *run(..._args: unknown[]): AsyncGenerator {
      yield Promise.resolve(notToBeRun());
    }
  }
  apply(LockedStream(key), Decorated.prototype);
  return Decorated;
}

function apply(decorator: unknown, prototype: object): void {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, 'run')!;
  (decorator as MethodDecorator)(prototype, 'run', descriptor);
  Object.defineProperty(prototype, 'run', descriptor);
}
