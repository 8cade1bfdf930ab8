import { EventEmitter } from 'node:events';
import { Readable, Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { StreamableFile } from '@nestjs/common';
import {
  LockConfigurationError,
  Locked,
  LockedStream,
  LockKeyError,
  LockModule,
  LockService,
  type Lock,
} from 'nestjs-lock';
import { defer, from, isObservable, lastValueFrom, type Observable, of } from 'rxjs';
import { Journal } from '../support/journal.js';
import { start } from '../support/nest-application.js';

const journal = new Journal();
const locks = LockModule.forRoot({ backend: journal });

beforeEach(() => {
  journal.clear();
});

/** Puts on what the types would refuse. */
type Untyped = (...parameters: unknown[]) => void;
const anything = (decorator: unknown) => decorator as Untyped;

const descriptorOf = (target: object, property: string) =>
  Object.getOwnPropertyDescriptor(target, property);

/** Decorates a member as TypeScript does. */
function decorate(decorator: unknown, target: object, property: string): void {
  anything(decorator)(target, property, descriptorOf(target, property));
}

/** As a browser's that does not iterate. */
function hide(stream: ReadableStream): object {
  const cancel = () => stream.cancel();
  return { getReader: () => stream.getReader(), cancel };
}

/** As auto-mocks do. */
function answersToAll(): object {
  const get = (_: object, name: PropertyKey) => (name === 'then' ? undefined : answersToAll);
  return new Proxy({}, { get });
}

async function expectFree(service: LockService, key: string): Promise<void> {
  const { holders, waiters } = await service.inspect(key);
  expect({ holders, waiters }).toEqual({ holders: [], waiters: 0 });
}

describe.each([
  ['@Locked', Locked('key')],
  ['@LockedStream', LockedStream('key')],
])('at decoration %s refuses', (name, decorator) => {
  class Members {
    static async static(): Promise<void> {}
    readonly arrow = async () => Promise.resolve();
    get getter() {
      return async () => Promise.resolve();
    }
    set setter(_value: unknown) {}
    async method(): Promise<void> {}
  }

  const expectRefusal = (act: () => void, why: RegExp) => {
    expect(act).toThrow(LockConfigurationError);
    expect(act).toThrow(why);
    expect(act).toThrow(name);
  };

  it('a static method', () => {
    expectRefusal(() => {
      decorate(decorator, Members, 'static');
    }, /not the static member Members\.static/);
  });

  it.each(['getter', 'setter'])('a %s', (accessor) => {
    expectRefusal(
      () => {
        decorate(decorator, Members.prototype, accessor);
      },
      new RegExp(`not the accessor ${accessor}`),
    );
  });

  it('a property that holds a function', () => {
    expectRefusal(() => {
      anything(decorator)(Members.prototype, 'arrow', undefined);
    }, /not the property arrow/);
  });

  it('a class', () => {
    expectRefusal(() => {
      anything(decorator)(Members);
    }, /not classes/);
  });

  it('a parameter', () => {
    expectRefusal(() => {
      anything(decorator)(Members.prototype, 'method', 0);
    }, /not .*method/);
  });

  it('a call as a standard (TC39) decorator, and says which compiler option is missing', () => {
    const context = { kind: 'method', name: 'method', static: false, private: false };
    expectRefusal(() => {
      anything(decorator)(descriptorOf(Members.prototype, 'method')?.value, context);
    }, /"experimentalDecorators": true/);
  });
});

describe('at decoration', () => {
  class Kinds {
    *generator() {
      yield 1;
    }
    async *asyncGenerator() {
      yield 1;
    }
    async promise(): Promise<void> {}
  }
  const on = (decorator: unknown, property: keyof Kinds) => () => {
    decorate(decorator, Kinds.prototype, property);
  };

  it('@Locked refuses generators and points to @LockedStream', () => {
    expect(on(Locked('key'), 'generator')).toThrow(/generator Kinds\.generator; use @LockedStream/);
    expect(on(Locked('key'), 'asyncGenerator')).toThrow(/Kinds\.asyncGenerator; use @LockedStream/);
    expect(on(Locked('key'), 'asyncGenerator')).toThrow(LockConfigurationError);
  });

  it('@LockedStream refuses async methods and synchronous generators', () => {
    expect(on(LockedStream('key'), 'promise')).toThrow(/Kinds\.promise/);
    expect(on(LockedStream('key'), 'generator')).toThrow(/Kinds\.generator/);
    expect(on(LockedStream('key'), 'generator')).toThrow(LockConfigurationError);
  });

  it.each([
    ['', LockKeyError, /empty/],
    ['a{', LockConfigurationError, /position 1/],
    ['{}', LockConfigurationError, /position 0/],
    ['{a}', LockConfigurationError, /position 0/],
    ['{0', LockConfigurationError, /position 0/],
    ['{0.}', LockConfigurationError, /position 0/],
    ['}', LockConfigurationError, /position 0/],
    [undefined, LockConfigurationError, /Kinds\.promise: key must be .* undefined/],
    [7, LockConfigurationError, /Kinds\.promise: key must be .* 7/],
    [['a', 'b'], LockConfigurationError, /Kinds\.promise: key must be .*'a', 'b'/],
  ])('the key %j is refused', (key, error, message) => {
    expect(on(Locked(key as string), 'promise')).toThrow(error);
    expect(on(Locked(key as string), 'promise')).toThrow(message);
  });

  it.each([
    [{ ttl: 0 }, /ttl must be .*0/],
    [{ ttl: Number.NaN }, /ttl must be .*NaN/],
    [{ ttl: 'soon' }, /ttl must be .*'soon'/],
    [{ wait: -1 }, /wait must be .*-1/],
    [{ renew: 'yes' }, /renew must be .*'yes'/],
    [{ reentrant: 1 }, /reentrant must be .*1/],
    [{ maxHold: 2 ** 31 }, /maxHold must be .*2147483648/],
    [{ mode: 'reader' }, /mode must be .*'reader'/],
    [{ limit: 0 }, /limit must be .*0/],
    [{ mode: 'shared', limit: 2 }, /limit is not for readers, got 2/],
    [{ minHold: -1 }, /minHold must be .*-1/],
    [{ tll: '1m' }, /unknown option 'tll'.*'1m'/],
    [{ onBusy: 'ignore' }, /Kinds\.promise: onBusy must be .*'ignore'/],
    [{ name: '' }, /name must be .*''/],
    [{ name: 7 }, /name must be .*7/],
    [null, /options must be an object, got null/],
    ['1m', /options must be an object, got '1m'/],
  ])('the options %j are refused', (options, message) => {
    const decorator = Locked('key', options as object);
    expect(on(decorator, 'promise')).toThrow(LockConfigurationError);
    expect(on(decorator, 'promise')).toThrow(message);
  });

  it('leaves a refused method as it was', () => {
    const before = descriptorOf(Kinds.prototype, 'promise');
    expect(on(Locked('a{'), 'promise')).toThrow(LockConfigurationError);
    expect(descriptorOf(Kinds.prototype, 'promise')).toEqual(before);
  });
});

describe('put there without being called', () => {
  // TypeScript would take what the decorator returns for a descriptor, and leave the method as it is.
  it('@Locked stops the class', () => {
    const bare = () => {
      class Bare {
        // @ts-expect-error the decorator itself
        @Locked
        async run(): Promise<void> {}
      }
      return Bare;
    };
    expect(bare).toThrow(LockConfigurationError);
    expect(bare).toThrow(/@Locked\(/);
  });

  it('@LockedStream stops the class', () => {
    const bare = () => {
      class Bare {
        // @ts-expect-error the decorator itself
        @LockedStream
        async *run() {
          yield 1;
        }
      }
      return Bare;
    };
    expect(bare).toThrow(LockConfigurationError);
    expect(bare).toThrow(/@LockedStream\(/);
  });
});

describe('at the call', () => {
  class Wrong {
    subscribed = 0;

    returned(result: unknown): unknown {
      journal.note('wrong', 'enter');
      return result;
    }

    source(): Observable<number> {
      return defer(() => {
        this.subscribed++;
        return of(1);
      });
    }

    observable(): Observable<number> {
      return this.source();
    }

    iterable(): AsyncIterable<number> {
      const open = () => {
        this.subscribed++;
        return from([1]);
      };
      return {
        [Symbol.asyncIterator]() {
          open();
          return { next: async () => ({ value: undefined, done: true }) };
        },
      };
    }
  }
  for (const property of ['returned', 'observable', 'iterable'] as const) {
    const descriptor = descriptorOf(Wrong.prototype, property)!;
    anything(Locked('wrong'))(Wrong.prototype, property, descriptor);
    Object.defineProperty(Wrong.prototype, property, descriptor);
  }

  let wrong: Wrong;
  let service: LockService;

  beforeEach(async () => {
    const app = await start({ imports: [locks], providers: [Wrong] });
    wrong = app.get(Wrong);
    service = app.get(LockService);
  });

  it.each([1, 'text', '', null, undefined, {}, [Promise.resolve()], () => 1])(
    '@Locked rejects a method that returned %p, and does not pretend that it was locked',
    async (result) => {
      const call = wrong.returned(result) as Promise<unknown>;
      await expect(call).rejects.toThrow(LockConfigurationError);
      await expect(call).rejects.toThrow(/Wrong\.returned returned/);
      await expectFree(service, 'wrong');
    },
  );

  it.each(['observable', 'iterable'] as const)(
    '@Locked rejects a method that returned an %s before anybody listens to it',
    async (kind) => {
      const call = wrong[kind]() as unknown as Promise<unknown>;
      expect(isObservable(call)).toBe(false);
      await expect(call).rejects.toThrow(LockConfigurationError);
      await expect(call).rejects.toThrow(new RegExp(`Wrong\\.${kind}.*use @LockedStream`));
      expect(wrong.subscribed).toBe(0);
      await expectFree(service, 'wrong');
    },
  );

  it('@Locked rejects a promise of an Observable before anybody listens to it', async () => {
    const call = wrong.returned(Promise.resolve(wrong.source())) as Promise<unknown>;
    await expect(call).rejects.toThrow(/Wrong\.returned.*use @LockedStream/);
    expect(wrong.subscribed).toBe(0);
    await expectFree(service, 'wrong');
  });

  describe('a stream that would be read without the lock', () => {
    const ended: string[] = [];

    async function* rows() {
      try {
        await Promise.resolve();
        yield 'row';
      } finally {
        ended.push('rows');
      }
    }
    const readable = () =>
      new Readable({
        read() {
          ended.push('read');
        },
        destroy(_error, done) {
          ended.push('destroyed');
          // Nobody listens: it must not crash the process.
          done(new Error('cannot be closed'));
        },
      });
    const old = () =>
      Object.assign(new EventEmitter(), {
        readable: true,
        pipe: () => undefined,
        destroy: () => ended.push('destroyed'),
      });
    const web = () => new ReadableStream({ cancel: () => void ended.push('cancelled') });
    const cursor = () => ({
      [Symbol.asyncIterator]: () => rows(),
      [Symbol.asyncDispose]: async () => Promise.reject(new Error(`${ended.push('disposed')}`)),
    });
    const begun = async () => {
      const steps = rows();
      await steps.next();
      return steps;
    };

    it.each<[string, () => unknown, string[]]>([
      ['a Readable', readable, ['destroyed']],
      ['a StreamableFile', () => new StreamableFile(readable()), ['destroyed']],
      ['a stream of the old kind', old, ['destroyed']],
      ['a web stream', web, ['cancelled']],
      ['a web stream that is not iterable', () => hide(web()), ['cancelled']],
      ['an async generator', rows, []],
      ['an async generator that has begun', begun, ['rows']],
      ['a cursor', cursor, ['disposed']],
    ])('%s is refused, and ended unread', async (_, make, how) => {
      const made = await make();
      for (const result of [made, Promise.resolve(await make())]) {
        ended.length = 0;
        const call = wrong.returned(result) as Promise<unknown>;
        await expect(call).rejects.toThrow(LockConfigurationError);
        await expect(call).rejects.toThrow(/Wrong\.returned.*use @LockedStream/);
        await turn();
        expect(ended).toEqual(how);
        await expectFree(service, 'wrong');
      }
    });

    it('a stream that cannot be ended is refused all the same', async () => {
      const stuck = {
        [Symbol.asyncIterator]: () => rows(),
        destroy: () => {
          throw new Error('not now');
        },
      };
      const call = wrong.returned(Promise.resolve(stuck)) as Promise<unknown>;
      await expect(call).rejects.toThrow(/Wrong\.returned.*use @LockedStream/);
    });

    it.each<[string, () => unknown]>([
      ['a file that is in memory', () => new StreamableFile(Buffer.from('all of it'))],
      ['an empty file', () => new StreamableFile(Buffer.alloc(0))],
      ['what is only written to, as the response', () => new Writable()],
      ['what a mock of a repository answers', () => answersToAll()],
      ['a list', () => [1, 2]],
      ['a map', () => new Map([[1, 2]])],
    ])('not %s', async (_, make) => {
      const result = make();
      await expect(wrong.returned(Promise.resolve(result))).resolves.toBe(result);
    });
  });

  it('@Locked reports a refusal even where a busy lock would have been skipped', async () => {
    await expect(wrong.returned(1) as Promise<unknown>).rejects.toThrow(LockConfigurationError);
    expect(journal.of('wrong')).toEqual(['granted', 'enter', 'released']);
  });
});

/** Compiled by `tsc --noEmit` alone: each line that the types must refuse is marked to be one. */
describe('at the start of the application', () => {
  class Permits {
    @Locked('permits', { limit: 3 })
    async enter(): Promise<void> {}
  }
  class Quick {
    @Locked('quick', { ttl: 5 })
    async enter(): Promise<void> {}
  }

  it.each([
    ['a limit where the backend cannot count', Permits, /Permits\.enter: limit .* 3/],
    ['a ttl that the backend cannot keep', Quick, /Quick\.enter: ttl .* 5/],
  ])('%s is refused', async (_, provider, why) => {
    const backend = Object.assign(new Journal(), { supports: { shared: true, limit: false } });
    const imports = [LockModule.forRoot({ backend })];
    const starting = start({ imports, providers: [provider] });
    await expect(starting).rejects.toThrow(LockConfigurationError);
    await expect(starting).rejects.toThrow(why);
  });
});

describe('by their types', () => {
  interface Account {
    id: string;
    owner: { name: string };
  }

  class Allowed {
    @Locked('literal')
    async nothing(): Promise<void> {}

    @Locked('{0.id}', { ttl: '1m', wait: 0, onBusy: 'skip' })
    async template(account: Account): Promise<string> {
      return account.id;
    }

    @Locked((from: Account, to: Account) => `${from.id}:${to.id}`)
    async exact(from: Account, to: Account): Promise<string> {
      return from.id + to.id;
    }

    @Locked((account: Account) => account.id)
    async fewer(account: Account, amount: number): Promise<string> {
      return account.id + String(amount);
    }

    @Locked(() => 'none')
    async none(account: Account): Promise<string> {
      return account.id;
    }

    @Locked(({ owner }: { owner: { name: string } }) => owner.name)
    async part(account: Account): Promise<string> {
      return account.id;
    }

    @Locked((id: string, note?: string) => id + (note ?? ''))
    async optional(id: string, note?: string): Promise<string> {
      return id + (note ?? '');
    }

    @Locked((...ids: string[]) => ids.join())
    async rest(...ids: string[]): Promise<string> {
      return ids.join();
    }

    @Locked((id: string | number) => String(id))
    async wider(id: string): Promise<string> {
      return id;
    }

    @Locked('{0}')
    async generic<T>(value: T): Promise<T> {
      return value;
    }

    @Locked((id: string) => id, {
      wait: 0,
      onBusy: (error, id) => `${error.code} ${id.toUpperCase()}`,
    })
    async onBusy(id: string): Promise<string> {
      return id;
    }

    @Locked('{0}', { onBusy: (_error, id: string) => id })
    async onBusyAlone(id: string): Promise<string> {
      return id;
    }

    @LockedStream('observable')
    observable(): Observable<number> {
      return of(1);
    }

    @LockedStream((id: string) => id)
    async *generated(id: string): AsyncGenerator<string> {
      yield id;
    }

    @LockedStream('iterable')
    iterable(): AsyncIterable<number> {
      return this.generated('1') as unknown as AsyncIterable<number>;
    }
  }

  it('what fits is accepted, and works', async () => {
    const app = await start({ imports: [locks], providers: [Allowed] });
    const allowed = app.get(Allowed);
    const account = { id: 'a', owner: { name: 'ann' } };

    await expect(allowed.template(account)).resolves.toBe('a');
    await expect(allowed.exact(account, account)).resolves.toBe('aa');
    await expect(allowed.fewer(account, 1)).resolves.toBe('a1');
    await expect(allowed.none(account)).resolves.toBe('a');
    await expect(allowed.part(account)).resolves.toBe('a');
    await expect(allowed.optional('o')).resolves.toBe('o');
    await expect(allowed.rest('x', 'y')).resolves.toBe('x,y');
    await expect(allowed.wider('w')).resolves.toBe('w');
    await expect(allowed.generic('g')).resolves.toBe('g');
    await expect(allowed.onBusy('b')).resolves.toBe('b');
    await expect(lastValueFrom(allowed.observable())).resolves.toBe(1);
    for (const key of ['a', 'a:a', 'none', 'ann', 'o', 'x,y', 'w', 'g', 'b', 'observable']) {
      const grants = key === 'a' ? 2 : 1;
      expect(journal.of(key).filter((event) => event === 'granted')).toHaveLength(grants);
    }
    await using lock: Lock = await app.get(LockService).acquire('b');
    await expect(allowed.onBusy('b')).resolves.toBe('LOCK_TIMEOUT B');
    expect(lock.held).toBe(true);
  });

  it('what does not fit is refused', () => {
    const refused = () => {
      class Refused {
        // @ts-expect-error a synchronous method
        @Locked('key')
        synchronous(): number {
          return 1;
        }

        // @ts-expect-error a method that may answer at once
        @Locked('key')
        either(): Promise<number> | number {
          return 1;
        }

        // @ts-expect-error an Observable
        @Locked('key')
        observable(): Observable<number> {
          return of(1);
        }

        // @ts-expect-error an async generator
        @Locked('key')
        async *asyncGenerator() {
          yield 1;
        }

        // @ts-expect-error a generator
        @Locked('key')
        *generator() {
          yield 1;
        }

        // @ts-expect-error an accessor
        @Locked('key')
        get getter() {
          return [this.arrow];
        }

        // @ts-expect-error a property
        @Locked('key')
        arrow = async () => Promise.resolve();

        // @ts-expect-error another type of argument
        @Locked((id: number) => String(id))
        async argument(id: string): Promise<string> {
          return id;
        }

        // @ts-expect-error another type of the second argument
        @Locked((_id: string, amount: string) => amount)
        async second(id: string, amount: number): Promise<string> {
          return id + String(amount);
        }

        // @ts-expect-error an argument that the method does not have
        @Locked((_id: string, amount: number) => String(amount))
        async missing(id: string): Promise<string> {
          return id;
        }

        // @ts-expect-error a property that the argument does not have
        @Locked((order: { id: string; shop: string }) => order.shop)
        async shape(order: { id: string }): Promise<string> {
          return order.id;
        }

        // @ts-expect-error an argument that may be missing
        @Locked((note: string) => note)
        async optional(note?: string): Promise<string> {
          return note ?? '';
        }

        // @ts-expect-error another type of argument of onBusy
        @Locked('{0}', { onBusy: (_error, id: number) => id })
        async onBusy(id: string): Promise<string> {
          return id;
        }

        // @ts-expect-error a promise of a value
        @LockedStream('key')
        async promise(): Promise<number> {
          return 1;
        }

        // @ts-expect-error another type of argument
        @LockedStream((id: number) => String(id))
        stream(id: string): Observable<string> {
          return of(id);
        }
      }
      return Refused;
    };
    // At run time the first of them that is evident without a call stops the class.
    expect(refused).toThrow(LockConfigurationError);

    const key = () => {
      // @ts-expect-error a key that is no string
      Locked(() => 7);
      // @ts-expect-error a promise of a key
      Locked(async () => Promise.resolve('key'));
      // @ts-expect-error no key at all
      Locked();
      // @ts-expect-error an option that does not exist
      Locked('key', { tll: '1m' });
      // @ts-expect-error what onBusy cannot be
      Locked('key', { onBusy: 'ignore' });
      // @ts-expect-error streams cannot be skipped
      LockedStream('key', { onBusy: 'skip' });
    };
    expect(key).not.toThrow();
  });
});
