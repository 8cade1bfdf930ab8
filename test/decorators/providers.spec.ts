import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import { jest } from '@jest/globals';
import {
  type CallHandler,
  type ExecutionContext,
  forwardRef,
  Inject,
  Injectable,
  type NestInterceptor,
  Scope,
  SetMetadata,
  type OnModuleInit,
} from '@nestjs/common';
import { ModuleRef, Reflector } from '@nestjs/core';
import {
  getLockInterceptorToken,
  type Lock,
  LeaderOnly,
  type LockBackend,
  LockBackendError,
  Locked,
  LockedStream,
  type LockedOptions,
  LockInterceptor,
  LockKeyError,
  LockLostError,
  LockModule,
  LockNotWiredError,
  LockReentrancyError,
  LockService,
  LockTimeoutError,
  MemoryBackend,
} from 'nestjs-lock';
import { type Observable, of } from 'rxjs';
import { eventually } from '../support/eventually.js';
import { Journal, lockedOnce } from '../support/journal.js';
import { compile, Log, start } from '../support/nest-application.js';

const journal = new Journal();
const locks = LockModule.forRoot({ backend: journal });

beforeEach(() => {
  journal.clear();
});

describe('a locked method', () => {
  const mark = { seen: true };

  @Injectable()
  class Stock {
    #sold = 0;

    constructor(@Inject(LockService) private readonly service: LockService) {}

    @Locked('stock:{0.id}:{1}')
    async sell(order: { id: string }, place: string, amount = 1): Promise<unknown> {
      const sold = this.#sold;
      const lock = this.service.current();
      const inside = { key: lock?.key, held: lock?.held };
      await journal.body('stock:a:here', undefined);
      this.#sold = sold + amount;
      return { sold: this.#sold, order, place, inside };
    }

    @Locked('once')
    async once(): Promise<string> {
      return journal.body('once', 'done');
    }

    @Locked('outer')
    async outer(): Promise<string> {
      journal.note('outer', 'enter');
      const answer = await this.once();
      journal.note('outer', 'leave');
      return answer;
    }

    get detached(): (this: unknown) => Promise<string> {
      return Reflect.get(this, 'once');
    }
  }

  it('runs in one place at a time, as a method of its own instance with its own arguments', async () => {
    const stock = (await start({ imports: [locks], providers: [Stock] })).get(Stock);
    const orders = Array.from({ length: 10 }, () => ({ id: 'a' }));

    const answers = await Promise.all(orders.map((order) => stock.sell(order, 'here')));

    expect(answers).toEqual(
      orders.map((order, index) => ({
        sold: index + 1,
        order,
        place: 'here',
        inside: { key: 'stock:a:here', held: true },
      })),
    );
    expect((answers[3] as { order: unknown }).order).toBe(orders[3]);
    expect(journal.of('stock:a:here')).toEqual(lockedOnce(10));
  });

  it('locks once when called through this, as do the methods that it calls', async () => {
    const stock = (await start({ imports: [locks], providers: [Stock] })).get(Stock);

    await expect(Promise.all([stock.outer(), stock.outer()])).resolves.toEqual(['done', 'done']);
    expect(journal.of('once')).toEqual(lockedOnce(2));
    expect(journal.of('outer')).toEqual(lockedOnce(2));
  });

  it('is ready when the module was compiled but not initialised', async () => {
    const stock = (await compile({ imports: [locks], providers: [Stock] })).get(Stock);

    await Promise.all([stock.once(), stock.once()]);
    expect(journal.of('once')).toEqual(lockedOnce(2));
  });

  it('is ready for the onModuleInit of other providers, and for who keeps the bare function', async () => {
    @Injectable()
    class Early implements OnModuleInit {
      readonly captured: () => Promise<string>;

      constructor(@Inject(Stock) private readonly stock: Stock) {
        this.captured = stock.once.bind(stock);
      }

      async onModuleInit() {
        await Promise.all([this.stock.once(), this.captured()]);
      }
    }
    const early = (await start({ imports: [locks], providers: [Early, Stock] })).get(Early);
    expect(journal.of('once')).toEqual(lockedOnce(2));

    await Promise.all([early.captured(), early.captured()]);
    expect(journal.of('once')).toEqual(lockedOnce(4));
  });

  it('does not run when it has lost its instance', async () => {
    const stock = (await start({ imports: [locks], providers: [Stock] })).get(Stock);

    const { detached } = stock;
    await expect(detached()).rejects.toThrow(LockNotWiredError);
    await expect(detached.call({})).rejects.toThrow(/^Stock\.once is locked/);
    await expect(detached.call(1)).rejects.toThrow(LockNotWiredError);
    expect(journal.of('once')).toEqual([]);
    // Given back to any instance that was wired, it runs there.
    await expect(detached.call(stock)).resolves.toBe('done');
    expect(journal.of('once')).toEqual(lockedOnce());
  });

  it('can be spied upon and replaced on its instance', async () => {
    const stock = (await start({ imports: [locks], providers: [Stock] })).get(Stock);

    const spy = jest.spyOn(stock, 'once');
    await expect(stock.outer()).resolves.toBe('done');
    expect(spy).toHaveBeenCalledTimes(1);
    expect(journal.of('once')).toEqual(lockedOnce());

    spy.mockResolvedValue('faked');
    await expect(stock.outer()).resolves.toBe('faked');
    expect(journal.of('once')).toEqual(lockedOnce());
    expect(journal.of('outer')).toEqual(lockedOnce(2));
  });

  it('keeps its name, length, properties and metadata, from over and under the decorator', () => {
    const symbol = Symbol('own');
    const Property: MethodDecorator = (_target, _key, { value }) => {
      Object.assign(value as object, { own: mark, [symbol]: mark });
    };

    class Marked {
      @SetMetadata('over', mark)
      @Locked('marked')
      @SetMetadata('under', mark)
      @Property
      async ship(_order: string, _place: string): Promise<void> {}

      @Locked('computed')
      async ['computed name'](..._rest: string[]): Promise<void> {}

      async plain(_order: string, _place: string): Promise<void> {}
    }
    const reflector = new Reflector();
    const descriptors = Object.getOwnPropertyDescriptors(Marked.prototype);
    const { value: plain, ...plainly } = descriptors.plain;
    const { value: ship, ...shape } = descriptors.ship;
    expect(shape).toEqual(plainly);
    expect(ship).toHaveLength(plain!.length);
    expect(ship!.name).toBe('ship');
    expect(Object.assign({}, ship)).toEqual({ own: mark, [symbol]: mark });
    expect(reflector.get('over', ship!)).toBe(mark);
    expect(reflector.get('under', ship!)).toBe(mark);
    expect(descriptors['computed name'].value?.name).toBe('computed name');
  });

  it('is an async function exactly where it was one, as decorators above it may ask for', () => {
    const kinds: string[] = [];
    const Kind: MethodDecorator = (_target, _key, { value }) => {
      kinds.push((value as unknown as object).constructor.name);
    };

    class Kinds {
      @Kind
      @Locked('async')
      async declared(): Promise<void> {}

      @Kind
      @LeaderOnly('leader')
      async leader(): Promise<void> {}

      @Kind
      @Locked('outer')
      @Locked('inner')
      async twice(): Promise<void> {}

      @Kind
      @Locked('promise')
      promise(): Promise<void> {
        return Promise.resolve();
      }

      @Kind
      @LockedStream('stream')
      stream(): Observable<number> {
        return of(1);
      }
    }
    expect(Kinds).toBeDefined();
    const [plain, asynchronous] = ['Function', 'AsyncFunction'];
    expect(kinds).toEqual([asynchronous, asynchronous, asynchronous, plain, plain]);
  });

  it('adds nothing that shows to its instance', async () => {
    const stock = (await start({ imports: [locks], providers: [Stock] })).get(Stock);
    expect(Object.keys(stock)).toEqual(['service']);
  });

  it('can be locked on two keys, the upper one first', async () => {
    @Injectable()
    class Twice {
      @Locked('upper')
      @Locked('lower')
      async both() {
        for (const key of ['upper', 'lower']) journal.note(key, 'enter');
        expect(journal.of('upper')).toEqual(['granted', 'enter']);
        return 'done';
      }
    }
    const twice = (await start({ imports: [locks], providers: [Twice] })).get(Twice);

    await expect(twice.both()).resolves.toBe('done');
    expect(journal.of('lower')).toEqual(['granted', 'enter', 'released']);
    expect(journal.of('upper')).toEqual(['granted', 'enter', 'released']);
  });

  it('calls the advice of the application, which can be replaced as any provider', async () => {
    const seen: unknown[] = [];
    class Noting implements NestInterceptor {
      constructor(private readonly own: LockInterceptor) {}
      intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
        seen.push([context.getType(), context.getClass(), context.getArgs()]);
        expect(context.getHandler()).toBe(Reflect.get(Stock.prototype, 'sell'));
        return this.own.intercept(context, next);
      }
    }
    const app = await start(
      { imports: [locks], providers: [Stock] },
      {
        prepare: (builder) =>
          builder.overrideProvider(getLockInterceptorToken()).useFactory({
            factory: (service: LockService) => new Noting(new LockInterceptor(service)),
            inject: [LockService],
          }),
      },
    );
    await app.get(Stock).sell({ id: 'a' }, 'here');
    expect(seen).toEqual([['lock', Stock, [{ id: 'a' }, 'here']]]);
    expect(journal.of('stock:a:here')).toEqual(lockedOnce());
  });
});

describe('scopes', () => {
  let instances = 0;

  class Numbered {
    readonly number = ++instances;

    @Locked('numbered')
    async run(): Promise<number> {
      return journal.body('numbered', this.number);
    }
  }
  @Injectable({ scope: Scope.REQUEST })
  class PerRequest extends Numbered {}
  @Injectable({ scope: Scope.TRANSIENT })
  class Transient extends Numbered {}
  @Injectable({ durable: true, scope: Scope.REQUEST })
  class Durable extends Numbered {}

  it.each([PerRequest, Transient, Durable])('locks every instance of %p', async (scoped) => {
    const app = await start({ imports: [locks], providers: [scoped] });
    const [one, two] = await Promise.all([app.resolve(scoped), app.resolve(scoped)]);
    expect(one).not.toBe(two);

    await expect(Promise.all([one.run(), two.run()])).resolves.toEqual([one.number, two.number]);
    expect(journal.of('numbered')).toEqual(lockedOnce(2));
  });

  it('locks the transient instances of each consumer', async () => {
    @Injectable()
    class First {
      constructor(@Inject(Transient) readonly own: Transient) {}
    }
    @Injectable()
    class Second {
      constructor(@Inject(Transient) readonly own: Transient) {}
    }
    const app = await start({ imports: [locks], providers: [First, Second, Transient] });
    const [{ own: one }, { own: two }] = [app.get(First), app.get(Second)];
    expect(one).not.toBe(two);

    await Promise.all([one.run(), two.run()]);
    expect(journal.of('numbered')).toEqual(lockedOnce(2));
  });

  it('leaves a class in its scope: a locked singleton is not made anew', async () => {
    @Injectable()
    class Single extends Numbered {}
    const app = await start({ imports: [locks], providers: [Single] });
    expect(app.get(ModuleRef).introspect(Single).scope).toBe(Scope.DEFAULT);
    expect(app.get(Single)).toBe(await app.resolve(Single));
  });
});

describe('inheritance', () => {
  class Base {
    readonly kind = this.constructor.name;

    @Locked('ship:{0}')
    async ship(id: string): Promise<string> {
      return journal.body(`ship:${id}`, this.kind);
    }

    @Locked('pack')
    async pack(): Promise<string> {
      return journal.body('pack', this.kind);
    }
  }

  @Injectable()
  class Inherits extends Base {}

  @Injectable()
  class CallsSuper extends Base {
    override async ship(id: string): Promise<string> {
      return `super ${await super.ship(id)}`;
    }
  }

  @Injectable()
  class BothDecorated extends Base {
    @Locked('both:{0}')
    override async ship(id: string): Promise<string> {
      journal.note(`both:${id}`, 'enter');
      const answer = await super.ship(id);
      journal.note(`both:${id}`, 'leave');
      return `both ${answer}`;
    }

    @Locked('pack', { reentrant: true })
    override async pack(): Promise<string> {
      return super.pack();
    }
  }

  @Injectable()
  class Reenters extends Base {
    @Locked('reenters', { reentrant: true })
    async inner(): Promise<string> {
      return journal.body('reenters', 'inner');
    }

    @Locked('reenters')
    async outer(): Promise<string> {
      return this.inner();
    }
  }

  @Injectable()
  class Bare extends Base {
    override async ship(id: string): Promise<string> {
      return journal.body(`ship:${id}`, 'bare');
    }
  }

  const get = async <T>(type: new () => T) =>
    (await start({ imports: [locks], providers: [type] })).get(type);

  it('locks an inherited method once', async () => {
    const inherits = await get(Inherits);
    const answers = await Promise.all([inherits.ship('a'), inherits.ship('a'), inherits.pack()]);
    expect(answers).toEqual(['Inherits', 'Inherits', 'Inherits']);
    expect(journal.of('ship:a')).toEqual(lockedOnce(2));
    expect(journal.of('pack')).toEqual(lockedOnce());
  });

  it('locks the decorated original that an override calls', async () => {
    const calls = await get(CallsSuper);
    const answers = await Promise.all([calls.ship('a'), calls.ship('a')]);
    expect(answers).toEqual(['super CallsSuper', 'super CallsSuper']);
    expect(journal.of('ship:a')).toEqual(lockedOnce(2));
  });

  it('locks once for each of two decorated, on keys of their own', async () => {
    const both = await get(BothDecorated);
    const answers = await Promise.all([both.ship('a'), both.ship('a')]);
    expect(answers).toEqual(['both BothDecorated', 'both BothDecorated']);
    expect(journal.of('both:a')).toEqual(lockedOnce(2));
    expect(journal.of('ship:a')).toEqual(lockedOnce(2));
  });

  it('does not let an override wait for itself on the same key', async () => {
    const both = await get(BothDecorated);
    await expect(both.pack()).rejects.toThrow(LockReentrancyError);
    expect(journal.of('pack')).toEqual(['granted', 'released']);
  });

  it('enters the same key again where it may, under one grant', async () => {
    const reenters = await get(Reenters);
    await expect(Promise.all([reenters.outer(), reenters.inner()])).resolves.toEqual([
      'inner',
      'inner',
    ]);
    expect(journal.of('reenters')).toEqual(lockedOnce(2));
  });

  it('warns at start of an override that is not decorated, once for each class', async () => {
    const log = new Log();
    @Injectable({ scope: Scope.REQUEST })
    class BareScoped extends Bare {}
    const providers = [Bare, Inherits, BothDecorated, { provide: 'again', useClass: Bare }];
    const app = await start({ imports: [locks], providers: [...providers, BareScoped] }, { log });

    expect(log.warnings).toEqual([
      'Bare overrides Base.ship without a decorator: calls of it are not locked. ' +
        'Decorate the override too, unless it calls the original.',
    ]);
    // The warning says the truth.
    await app.get(Bare).ship('a');
    expect(journal.of('ship:a')).toEqual(['enter', 'leave']);
    await app.get(Bare).pack();
    expect(journal.of('pack')).toEqual(lockedOnce());
  });

  it('warns of an override in a request-scoped class too', async () => {
    const log = new Log();
    @Injectable({ scope: Scope.REQUEST })
    class ScopedBare extends Base {
      override async pack(): Promise<string> {
        return 'unlocked';
      }
    }
    await start({ imports: [locks], providers: [ScopedBare] }, { log });
    expect(log.warnings).toEqual([expect.stringContaining('ScopedBare overrides Base.pack')]);
  });

  it('does not warn where nothing lost its lock', async () => {
    const log = new Log();
    await start({ imports: [locks], providers: [Inherits, BothDecorated, Reenters] }, { log });
    expect(log.warnings).toEqual([]);
  });

  it('locks a method of an abstract class that calls what its children write', async () => {
    abstract class Template {
      @Locked('template')
      async run(): Promise<string> {
        return this.step();
      }
      protected abstract step(): Promise<string>;
    }
    @Injectable()
    class Concrete extends Template {
      protected async step(): Promise<string> {
        return journal.body('template', 'step');
      }
    }
    const concrete = await get(Concrete);
    await Promise.all([concrete.run(), concrete.run()]);
    expect(journal.of('template')).toEqual(lockedOnce(2));
  });
});

describe('how providers reach each other', () => {
  @Injectable()
  class Ping {
    constructor(@Inject(forwardRef(() => Pong)) readonly pong: { pong(): Promise<string> }) {}

    @Locked('ping')
    async ping(): Promise<string> {
      await journal.body('ping', undefined);
      return this.pong.pong();
    }
  }

  @Injectable()
  class Pong {
    constructor(@Inject(forwardRef(() => Ping)) readonly ping: { ping(): Promise<string> }) {}

    @Locked('pong')
    async pong(): Promise<string> {
      return journal.body('pong', 'pong');
    }
  }

  it('locks both of two that need each other', async () => {
    const app = await start({ imports: [locks], providers: [Ping, Pong] });
    const { ping } = app.get(Pong);
    await expect(Promise.all([ping.ping(), ping.ping()])).resolves.toEqual(['pong', 'pong']);
    expect(journal.of('ping')).toEqual(lockedOnce(2));
    expect(journal.of('pong')).toEqual(lockedOnce(2));
  });
});

describe('the key', () => {
  const shown = (id: unknown) => (typeof id === 'string' ? id : inspect(id));

  @Injectable()
  class Keyed {
    readonly shop = 'main';

    @Locked('of:{0.user.id}')
    async template(dto: { user: { id: unknown } } | undefined) {
      return journal.body(`of:${shown(dto?.user.id)}`, 'ran');
    }

    @Locked(function (this: unknown, from: string, to: { id: string }) {
      return `${(this as Keyed).shop}:${from}:${to.id}`;
    })
    async method(from: string, to: { id: string }, note = '') {
      return journal.body(`main:${from}:${to.id}`, note);
    }

    @Locked(() => {
      throw new RangeError('no key');
    })
    async failing() {
      return journal.body('failing', 'ran');
    }

    @Locked(() => undefined as unknown as string)
    async nothing() {
      return journal.body('undefined', 'ran');
    }
  }

  let keyed: Keyed;

  beforeEach(async () => {
    keyed = (await start({ imports: [locks], providers: [Keyed] })).get(Keyed);
  });

  it('is made of the arguments by a template', async () => {
    const run = (id: unknown) => keyed.template({ user: { id } });
    await Promise.all([run('a'), run('a'), run(7)]);
    expect(journal.of('of:a')).toEqual(lockedOnce(2));
    expect(journal.of('of:7')).toEqual(lockedOnce());
  });

  it('is made of the arguments by a function, called as a method', async () => {
    await expect(keyed.method('a', { id: 'b' }, 'note')).resolves.toBe('note');
    expect(journal.of('main:a:b')).toEqual(lockedOnce());
  });

  it.each([undefined, null, { a: 1 }, [], '', Number.NaN, Symbol('s'), () => 1])(
    'is never made of %p',
    async (id) => {
      await expect(keyed.template({ user: { id } })).rejects.toThrow(LockKeyError);
      await expect(keyed.template(undefined)).rejects.toThrow(LockKeyError);
      expect(journal.of(`of:${shown(id)}`)).toEqual([]);
      expect(journal.of('of:undefined')).toEqual([]);
    },
  );

  it('rejects, instead of throwing, what the key function throws or fails to give', async () => {
    await expect(keyed.failing()).rejects.toThrow(RangeError);
    await expect(keyed.nothing()).rejects.toThrow(LockKeyError);
    expect(journal.of('failing')).toEqual([]);
    expect(journal.of('undefined')).toEqual([]);
  });
});

describe('what becomes of a call', () => {
  const boom = new Error('boom');

  @Injectable()
  class Outcomes {
    constructor(@Inject(LockService) private readonly service: LockService) {}

    @Locked('fails')
    async fails(): Promise<never> {
      await journal.body('fails', undefined);
      throw boom;
    }

    @Locked('throws')
    throwsAtOnce(): Promise<never> {
      throw boom;
    }

    @Locked('nothing')
    async nothing(): Promise<void> {
      await journal.body('nothing', undefined);
    }

    @Locked('thenable')
    thenable(): Promise<string> {
      const promise = journal.body('thenable', 'then');
      const thenable: PromiseLike<string> = { then: (...both) => promise.then(...both) };
      return thenable as Promise<string>;
    }

    @Locked('long', { ttl: 200 })
    async long(): Promise<void> {
      journal.note('long', 'enter');
      const start = performance.now();
      await eventually('more than two ttl', () => performance.now() - start > 450);
      this.service.current()?.assertHeld();
      journal.note('long', 'leave');
    }

    @Locked('lost', { ttl: 200, renew: false })
    async lost(): Promise<string> {
      const signal = this.service.current()?.signal;
      await eventually('the loss', () => signal?.aborted === true);
      journal.note('lost', 'leave');
      return 'too late';
    }

    @Locked('lost', { ttl: 200, renew: false })
    async lostAndFails(): Promise<never> {
      const signal = this.service.current()?.signal;
      await eventually('the loss', () => signal?.aborted === true);
      throw boom;
    }
  }

  let outcomes: Outcomes;

  beforeEach(async () => {
    outcomes = (await start({ imports: [locks], providers: [Outcomes] })).get(Outcomes);
  });

  it('is the very error of the body, and the lock is free again', async () => {
    await expect(Promise.allSettled([outcomes.fails(), outcomes.fails()])).resolves.toEqual([
      { status: 'rejected', reason: boom },
      { status: 'rejected', reason: boom },
    ]);
    await expect(outcomes.fails()).rejects.toBe(boom);
    expect(journal.of('fails')).toEqual(lockedOnce(3));
  });

  it('is a rejection where the body throws before it returns a promise', async () => {
    await expect(outcomes.throwsAtOnce()).rejects.toBe(boom);
    expect(journal.of('throws')).toEqual(['granted', 'released']);
  });

  it('is undefined for a body that returns nothing, and what any thenable resolves to', async () => {
    await expect(outcomes.nothing()).resolves.toBeUndefined();
    await expect(outcomes.thenable()).resolves.toBe('then');
    expect(journal.of('thenable')).toEqual(lockedOnce());
  });

  it('excludes others for as long as the body runs, however short the ttl', async () => {
    await Promise.all([outcomes.long(), outcomes.long()]);
    expect(journal.of('long')).toEqual(lockedOnce(2));
  });

  it('is a LockLostError when the lock was lost, after the body has settled', async () => {
    await expect(outcomes.lost()).rejects.toThrow(LockLostError);
    expect(journal.of('lost')).toContain('leave');
  });

  it("is the body's own error even when the lock was lost too", async () => {
    await expect(outcomes.lostAndFails()).rejects.toBe(boom);
  });

  it('keeps nothing of finished calls', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    @Injectable()
    class Forgetful {
      @Locked('forget:{0.id}')
      async run({ id }: { id: number }) {
        return { id };
      }
    }
    const forgetful = (await start({ imports: [locks], providers: [Forgetful] })).get(Forgetful);
    const references: WeakRef<object>[] = [];
    const call = async (id: number) => {
      const argument = { id };
      references.push(new WeakRef(argument), new WeakRef(await forgetful.run(argument)));
    };
    for (let id = 0; id < 500; id++) await call(id);

    const left = () => references.filter((reference) => reference.deref() !== undefined);
    await eventually('all but what the runtime itself had last at hand is collected', async () => {
      await turn();
      collectGarbage();
      return left().length < 10;
    });
    expect(references).toHaveLength(1_000);
    expect(journal.of('forget:499')).toEqual(['granted', 'released']);
  });
});

describe('a busy lock', () => {
  const asked: unknown[] = [];
  const skip: LockedOptions = { wait: 0, onBusy: 'skip' };

  @Injectable()
  class Busy {
    readonly name = 'the instance';

    @Locked('busy', { wait: 0 })
    async throws(id: string) {
      return journal.body('busy', id);
    }

    @Locked('busy', { wait: 300 })
    async waits(id: string) {
      return journal.body('busy', id);
    }

    @Locked('busy', skip)
    async skips(id: string) {
      return journal.body('busy', id);
    }

    @Locked('busy', {
      wait: 0,
      onBusy(this: unknown, error, id, more) {
        asked.push((this as Busy).name, error, id, more);
        return `instead of ${String(id)}`;
      },
    })
    async asks(id: string, more: number) {
      return journal.body('busy', `${id}${more}`);
    }

    @Locked('busy', {
      wait: 0,
      onBusy: async (error) => {
        throw new RangeError('mapped', { cause: error });
      },
    })
    async maps() {
      return journal.body('busy', undefined);
    }

    @Locked('free', skip)
    async outer() {
      journal.note('free', 'enter');
      return this.throws('inner');
    }
  }

  let busy: Busy;
  let service: LockService;

  beforeEach(async () => {
    const app = await start({ imports: [locks], providers: [Busy] });
    busy = app.get(Busy);
    service = app.get(LockService);
    asked.length = 0;
  });

  /** Nothing but the holder's own grant: no body ran, and who came late took nothing away. */
  const expectUntouched = (lock: Lock) => {
    expect(journal.of('busy')).toEqual(['granted']);
    expect(lock.held).toBe(true);
  };

  it('rejects the call with LockTimeoutError', async () => {
    await using lock = await service.acquire('busy');
    const call = busy.throws('a');
    await expect(call).rejects.toThrow(LockTimeoutError);
    await expect(call).rejects.toMatchObject({ key: 'busy', code: 'LOCK_TIMEOUT', wait: 0 });
    expectUntouched(lock);
  });

  it('is waited for, no less than asked, and left alone after that', async () => {
    await using lock = await service.acquire('busy');
    const start = performance.now();
    await expect(busy.waits('a')).rejects.toThrow(LockTimeoutError);
    expect(performance.now() - start).toBeGreaterThanOrEqual(299);
    expect((await service.inspect('busy')).holders).toHaveLength(1);
    expectUntouched(lock);
  });

  it('is granted to who still waits', async () => {
    const lock = await service.acquire('busy');
    const call = busy.waits('a');
    await lock.release();
    await expect(call).resolves.toBe('a');
    expect(journal.of('busy')).toEqual(['granted', 'released', ...lockedOnce()]);
  });

  it('is skipped with undefined', async () => {
    await using lock = await service.acquire('busy');
    await expect(busy.skips('a')).resolves.toBeUndefined();
    expectUntouched(lock);
  });

  it('is answered by the function, as a method, with the error and the arguments', async () => {
    await using lock = await service.acquire('busy');
    await expect(busy.asks('a', 1)).resolves.toBe('instead of a');
    expect(asked).toEqual(['the instance', expect.any(LockTimeoutError), 'a', 1]);
    await expect(busy.maps()).rejects.toMatchObject({
      message: 'mapped',
      cause: expect.any(LockTimeoutError) as unknown,
    });
    expectUntouched(lock);
  });

  it('does not matter once the lock is free', async () => {
    await expect(busy.skips('a')).resolves.toBe('a');
    await expect(busy.asks('a', 1)).resolves.toBe('a1');
    expect(asked).toEqual([]);
    expect(journal.of('busy')).toEqual(lockedOnce(2));
  });

  it('inside of the body is not swallowed by the skip of the outer method', async () => {
    await using lock = await service.acquire('busy');
    await expect(busy.outer()).rejects.toMatchObject({ code: 'LOCK_TIMEOUT', key: 'busy' });
    expect(journal.of('free')).toEqual(['granted', 'enter', 'released']);
    expectUntouched(lock);
  });

  it('is not meant by errors that only resemble it: skip hides no other trouble', async () => {
    const broken: LockBackend = {
      name: 'broken',
      minTtl: 1,
      supports: { shared: true, limit: true },
      connect: (process) => ({
        ...new MemoryBackend().connect(process),
        acquire: () => Promise.reject(new Error('out of order')),
      }),
    };
    @Injectable()
    class Other {
      @Locked('other', { ...skip, name: 'broken' })
      async unreached() {
        return journal.body('other', 'ran');
      }

      @Locked('other')
      async again() {
        return this.skipsItself();
      }

      @Locked('other', skip)
      async skipsItself() {
        return journal.body('other', 'ran');
      }

      @Locked('other:{0}', skip)
      async run(_id: string | undefined) {
        return journal.body('other', 'ran');
      }

      @Locked('other', skip)
      async fails() {
        throw new LockTimeoutError('my own', 0);
      }
    }
    const imports = [locks, LockModule.forRoot({ backend: broken, name: 'broken' })];
    const other = (await start({ imports, providers: [Other] })).get(Other);
    await expect(other.run(undefined)).rejects.toThrow(LockKeyError);
    await expect(other.fails()).rejects.toMatchObject({ key: 'my own' });
    await expect(other.again()).rejects.toThrow(LockReentrancyError);
    await expect(other.unreached()).rejects.toThrow(LockBackendError);
    expect(journal.of('other')).not.toContain('enter');
  });
});
