import { setImmediate as turn } from 'node:timers/promises';
import {
  type DynamicModule,
  forwardRef,
  Global,
  Inject,
  Injectable,
  Module,
  type OnModuleInit,
  Scope,
} from '@nestjs/common';
import { LazyModuleLoader, ModuleRef } from '@nestjs/core';
import {
  getLockBackendToken,
  getLockInterceptorToken,
  getLockServiceToken,
  InjectLockService,
  Locked,
  LockedStream,
  LockModule,
  type LockModuleOptions,
  LockNotWiredError,
  type LockOptionsFactory,
  LockService,
  MemoryBackend,
} from 'nestjs-lock';
import { lastValueFrom, type Observable, of } from 'rxjs';
import { Journal, lockedOnce } from '../support/journal.js';
import { compile, Log, start } from '../support/nest-application.js';

const journal = new Journal();
const locks = LockModule.forRoot({ backend: journal });

beforeEach(() => {
  journal.clear();
});

/** Locked by the instance without a name, whoever makes it. */
@Injectable()
class Shop {
  constructor(@Inject('name') readonly name = 'by hand') {}

  @Locked('shop')
  async run(): Promise<string> {
    return journal.body('shop', this.name);
  }
}
const name = { provide: 'name', useValue: 'by Nest' };

async function expectLockedOnce(shop: Shop, answer: string): Promise<void> {
  const before = journal.of('shop').length;
  await expect(Promise.all([shop.run(), shop.run()])).resolves.toEqual([answer, answer]);
  expect(journal.of('shop').slice(before)).toEqual(lockedOnce(2));
}

async function expectNotWired(shop: Shop): Promise<void> {
  const before = journal.of('shop');
  const call = shop.run();
  await expect(call).rejects.toThrow(LockNotWiredError);
  await expect(call).rejects.toMatchObject({ code: 'LOCK_NOT_WIRED', method: 'Shop.run' });
  expect(journal.of('shop')).toEqual(before);
}

describe('an instance that Nest makes', () => {
  it('is locked under every token', async () => {
    const app = await start({
      imports: [locks],
      providers: [
        name,
        Shop,
        { provide: 'class', useClass: Shop },
        { provide: 'existing', useExisting: Shop },
      ],
    });
    await expectLockedOnce(app.get(Shop), 'by Nest');
    await expectLockedOnce(app.get('class'), 'by Nest');
    await expectLockedOnce(app.get('existing'), 'by Nest');
    expect(app.get('class')).not.toBe(app.get(Shop));
    expect(app.get('existing')).toBe(app.get(Shop));
  });

  it('is locked in each of two modules that provide the class, on the same key', async () => {
    @Module({ providers: [Shop, { provide: 'name', useValue: 'first' }] })
    class First {}
    @Module({ providers: [Shop, { provide: 'name', useValue: 'second' }] })
    class Second {}
    const app = await start({ imports: [First, locks, Second] });
    const [first, second] = [First, Second].map((module) =>
      app.select(module).get(Shop, { strict: true }),
    ) as [Shop, Shop];

    await expect(Promise.all([first.run(), second.run()])).resolves.toEqual(['first', 'second']);
    expect(journal.of('shop')).toEqual(lockedOnce(2));
  });

  it('is locked when ModuleRef makes it outside of the container', async () => {
    @Injectable()
    class Maker {
      constructor(@Inject(ModuleRef) private readonly moduleRef: ModuleRef) {}
      make = () => this.moduleRef.create(Shop);
    }
    const maker = (await start({ imports: [locks], providers: [name, Maker] })).get(Maker);
    const [one, two] = [await maker.make(), await maker.make()];
    expect(one).not.toBe(two);
    await expectLockedOnce(one, 'by Nest');
    await expectLockedOnce(two, 'by Nest');
  });

  it('is locked in a module that is loaded later', async () => {
    @Module({ providers: [name, Shop] })
    class Later {}
    const app = await start({ imports: [locks] });
    const later = await app.get(LazyModuleLoader).load(() => Later);
    await expectLockedOnce(later.get(Shop), 'by Nest');
  });

  it('is locked in place of what a test overrides', async () => {
    class Double extends Shop {
      @Locked('double')
      override async run() {
        return `double ${await super.run()}`;
      }
    }
    const app = await start(
      { imports: [locks], providers: [name, Shop] },
      { prepare: (builder) => builder.overrideProvider(Shop).useClass(Double) },
    );
    await expectLockedOnce(app.get(Shop), 'double by Nest');
    expect(journal.of('double').filter((event) => event === 'granted')).toHaveLength(2);
  });

  it('is locked in modules that import each other', async () => {
    @Module({ imports: [forwardRef(() => Right)], providers: [name, Shop], exports: [Shop] })
    class Left {}
    @Module({
      imports: [forwardRef(() => Left)],
      providers: [{ provide: 'right', useExisting: Shop }],
    })
    class Right {}
    const app = await start({ imports: [Left, locks] });
    await expectLockedOnce(app.get('right', { strict: false }), 'by Nest');
  });
});

describe('an instance that the application was given', () => {
  const given = [
    ['useFactory', { provide: Shop, useFactory: () => new Shop() }],
    ['an async useFactory', { provide: Shop, useFactory: async () => new Shop() }],
    ['useValue', { provide: Shop, useValue: new Shop() }],
  ] as const;

  it.each(given)('is locked from the start on: %s', async (_, provider) => {
    const app = await start({ imports: [locks], providers: [provider] });
    await expectLockedOnce(app.get(Shop), 'by hand');
  });

  it.each(given)('is locked wherever it is provided: %s', async (_, provider) => {
    @Module({ providers: [{ ...provider, provide: 'shop' }], exports: ['shop'] })
    class Feature {}
    const app = await start({ imports: [Feature, locks] });
    await expectLockedOnce(app.get('shop', { strict: false }), 'by hand');
  });

  it('is locked when it extends the decorated class, and when a test puts it in', async () => {
    class Derived extends Shop {}
    const app = await start(
      { imports: [locks], providers: [name, Shop] },
      { prepare: (builder) => builder.overrideProvider(Shop).useValue(new Derived('derived')) },
    );
    await expectLockedOnce(app.get(Shop), 'derived');
  });

  it('is locked for the onModuleInit of every other provider', async () => {
    @Injectable()
    class Early implements OnModuleInit {
      constructor(@Inject(Shop) private readonly shop: Shop) {}
      async onModuleInit() {
        await expectLockedOnce(this.shop, 'by hand');
      }
    }
    @Module({ providers: [Early, { provide: Shop, useFactory: () => new Shop() }] })
    class Feature {}
    await start({ imports: [Feature, locks] });
    expect(journal.of('shop')).toEqual(lockedOnce(2));
  });

  it('does not run before it is wired', async () => {
    const app = await compile({
      imports: [locks],
      providers: [{ provide: Shop, useFactory: () => new Shop() }],
    });
    await expectNotWired(app.get(Shop));
    await app.init();
    await expectLockedOnce(app.get(Shop), 'by hand');
  });

  it.each([
    ['nothing', null],
    ['what has no constructor', Object.assign(Object.create(null) as object, { run: () => 1 })],
    [
      'what has none any more',
      Object.defineProperty({ run: () => 1 }, 'constructor', { value: undefined }),
    ],
  ])('starts, although one inherits from %s', async (_, prototype) => {
    const odd = Object.create(prototype) as object;
    const app = await start({
      imports: [locks],
      providers: [
        { provide: 'odd', useValue: odd },
        { provide: 'made', useFactory: () => Object.create(prototype) as object },
        { provide: Shop, useValue: new Shop() },
      ],
    });
    expect(app.get('odd')).toBe(odd);
    await expectLockedOnce(app.get(Shop), 'by hand');
  });

  it('gets nothing that shows', async () => {
    const shop = new Shop();
    await start({ imports: [locks], providers: [{ provide: Shop, useValue: shop }] });
    expect(Object.keys(shop)).toEqual(['name']);
    expect(JSON.stringify(shop)).toBe('{"name":"by hand"}');
  });
});

describe('an instance that the application does not know', () => {
  const hand = () => new Shop();

  it('does not run: made by new, without any application', async () => {
    await expectNotWired(hand());
  });

  it('does not run: made by new in a running application', async () => {
    const app = await start({ imports: [locks], providers: [name, Shop] });
    await expectNotWired(hand());
    await expectLockedOnce(app.get(Shop), 'by Nest');
  });

  it('does not run: made by a factory for each request', async () => {
    const app = await start({
      imports: [locks],
      providers: [{ provide: Shop, scope: Scope.REQUEST, useFactory: hand }],
    });
    await expectNotWired(await app.resolve(Shop));
    await expectNotWired(await app.resolve(Shop));
  });

  it('does not run: made by a factory for each consumer, or among others', async () => {
    const app = await start({
      imports: [locks],
      providers: [
        { provide: Shop, scope: Scope.TRANSIENT, useFactory: hand },
        { provide: 'shops', useFactory: () => [hand(), hand()] },
      ],
    });
    await expectNotWired(await app.resolve(Shop));
    for (const shop of app.get<Shop[]>('shops')) await expectNotWired(shop);
  });

  it('does not run: made by a factory in a module that is loaded later', async () => {
    @Module({ providers: [{ provide: Shop, useFactory: hand }] })
    class Later {}
    const app = await start({ imports: [locks] });
    await expectNotWired((await app.get(LazyModuleLoader).load(() => Later)).get(Shop));
  });

  it('does not run: given to an application under a name that it was not decorated for', async () => {
    const app = await start({
      imports: [LockModule.forRoot({ backend: journal, name: 'other' })],
      providers: [{ provide: Shop, useFactory: hand }],
    });
    await expectNotWired(app.get(Shop));
  });

  it('does not stream', async () => {
    class Streaming {
      @LockedStream('stream')
      numbers(): Observable<number> {
        journal.note('stream', 'enter');
        return of(1);
      }

      @LockedStream('stream')
      async *generated() {
        journal.note('stream', 'enter');
        yield 1;
      }
    }
    const streaming = new Streaming();
    expect(() => streaming.numbers()).toThrow(/^Streaming\.numbers is locked/);
    expect(() => streaming.generated()).toThrow(LockNotWiredError);
    expect(journal.of('stream')).toEqual([]);
  });

  it('is told the method and both mends', async () => {
    const error = await hand()
      .run()
      .catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ name: 'LockNotWiredError' });
    const { message } = error as Error;
    expect(message).toMatch(/^Shop\.run is locked/);
    expect(message).toMatch(/list the class in providers or controllers/);
    expect(message).toMatch(/lockService\.attach\(instance\)/);
  });

  it('is locked once it was attached', async () => {
    const app = await start({ imports: [locks] });
    const shop = hand();
    expect(app.get(LockService).attach(shop)).toBe(shop);
    await expectLockedOnce(shop, 'by hand');
    expect(Object.keys(shop)).toEqual(['name']);
  });

  it('is locked when the factory attaches it for each request', async () => {
    const app = await start({
      imports: [locks],
      providers: [
        {
          provide: Shop,
          scope: Scope.REQUEST,
          useFactory: (service: LockService) => service.attach(hand()),
          inject: [LockService],
        },
      ],
    });
    const [one, two] = await Promise.all([app.resolve(Shop), app.resolve(Shop)]);
    expect(one).not.toBe(two);
    await Promise.all([one.run(), two.run()]);
    expect(journal.of('shop')).toEqual(lockedOnce(2));
  });

  it('is locked by a service without any application', async () => {
    await using service = closing(new LockService({ backend: journal }));
    await expectLockedOnce(service.it.attach(hand()), 'by hand');
  });
});

function closing<T extends { close(): Promise<void> }>(it: T): AsyncDisposable & { it: T } {
  return { it, [Symbol.asyncDispose]: () => it.close() };
}

/** As Nest writes it. */
const tokenOf = (name?: string) => String(getLockInterceptorToken(name)).replace(/[()]/g, '\\$&');

describe('without LockModule', () => {
  it('the application does not start, and says which token is missing', async () => {
    await expect(start({ providers: [name, Shop] })).rejects.toThrow(
      new RegExp(`can't resolve dependencies of the Shop.*${tokenOf()}`, 's'),
    );
  });

  it('a controller stops it as well', async () => {
    await expect(start({ providers: [name], controllers: [Shop] })).rejects.toThrow(
      new RegExp(tokenOf()),
    );
  });

  it('the name that is missing is said', async () => {
    @Injectable()
    class Named {
      @Locked('named', { name: 'billing' })
      async run() {
        return journal.body('named', 'ran');
      }
    }
    await expect(start({ imports: [locks], providers: [Named] })).rejects.toThrow(
      new RegExp(tokenOf('billing')),
    );
  });

  it('a request-scoped instance is never made', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Scoped extends Shop {}
    // Nest 12 looks at the start, Nest 11 at the request.
    const made = start({ providers: [name, Scoped] }).then((app) => app.resolve(Scoped));
    await expect(made).rejects.toThrow(new RegExp(tokenOf()));
  });

  it('what the application was given does not run', async () => {
    const app = await start({ providers: [{ provide: Shop, useFactory: () => new Shop() }] });
    await expectNotWired(app.get(Shop));
  });

  it('a module that is loaded later is refused', async () => {
    @Module({ providers: [name, Shop] })
    class Later {}
    const app = await start({});
    await expect(app.get(LazyModuleLoader).load(() => Later)).rejects.toThrow(
      new RegExp(tokenOf()),
    );
  });

  it('bad options stop it too, and are named', async () => {
    const bad = LockModule.forRoot({ backend: journal, ttl: -1 });
    await expect(start({ imports: [bad] })).rejects.toThrow(/ttl must be .*-1/);
  });
});

describe('two applications in one process', () => {
  it('lock each by their own service, whichever started last', async () => {
    const [first, second] = [new Journal(), new Journal()];

    @Injectable()
    class Both {
      constructor(@Inject('journal') private readonly own: Journal) {}

      @Locked('both')
      async run() {
        return this.own.body('both', this.own === first ? 'first' : 'second');
      }
    }
    const application = async (backend: Journal) =>
      start({
        imports: [LockModule.forRoot({ backend })],
        providers: [Both, { provide: 'journal', useValue: backend }],
      });
    const one = await application(first);
    const two = await application(second);

    const calls = [one, two, one].map((app) => app.get(Both).run());
    await expect(Promise.all(calls)).resolves.toEqual(['first', 'second', 'first']);
    expect(first.of('both')).toEqual(lockedOnce(2));
    expect(second.of('both')).toEqual(lockedOnce(1));

    await two.close();
    await one.get(Both).run();
    expect(first.of('both')).toEqual(lockedOnce(3));
    expect(second.of('both')).toEqual(lockedOnce(1));
  });

  it('exclude each other when they share the backend', async () => {
    const options = { imports: [locks], providers: [name, Shop] };
    const [one, two] = [await start(options), await start(options)];
    await Promise.all([one, two, one, two].map((app) => app.get(Shop).run()));
    expect(journal.of('shop')).toEqual(lockedOnce(4));
  });
});

describe('what a test puts in the place of the lock', () => {
  it('is used: a fake LockService', async () => {
    const asked: unknown[] = [];
    const fake = {
      withLock: async (key: string, options: unknown, body: () => Promise<unknown>) => {
        asked.push(key, options);
        return `fake ${String(await body())}`;
      },
    };
    const app = await start(
      { imports: [locks], providers: [name, Shop] },
      { prepare: (builder) => builder.overrideProvider(LockService).useValue(fake) },
    );
    await expect(app.get(Shop).run()).resolves.toBe('fake by Nest');
    expect(asked).toEqual(['shop', {}]);
    expect(journal.of('shop')).toEqual(['enter', 'leave']);
  });

  it('is used: a fake under the token of the service', async () => {
    const fake = { withLock: async () => 'fake' };
    const app = await start(
      { imports: [locks], providers: [name, Shop] },
      { prepare: (builder) => builder.overrideProvider(getLockServiceToken()).useValue(fake) },
    );
    await expect(app.get(Shop).run()).resolves.toBe('fake');
    expect(app.get(getLockServiceToken())).toBe(fake);
    expect(journal.of('shop')).toEqual([]);
  });

  it('is used: another backend', async () => {
    const broken = LockModule.forRoot({
      backend: {
        name: 'broken',
        minTtl: 1,
        supports: { shared: true, limit: true },
        connect: () => {
          throw new Error('no test may come here');
        },
      },
    });
    const app = await start(
      { imports: [broken], providers: [name, Shop] },
      { prepare: (builder) => builder.overrideProvider(getLockBackendToken()).useValue(journal) },
    );
    await expectLockedOnce(app.get(Shop), 'by Nest');
  });

  it('is used: a MemoryBackend', async () => {
    const app = await start(
      { imports: [locks], providers: [name, Shop] },
      {
        prepare: (builder) =>
          builder.overrideProvider(getLockBackendToken()).useValue(new MemoryBackend()),
      },
    );
    const lock = await app.get(LockService).acquire('shop');
    const calls = Promise.all([app.get(Shop).run(), app.get(Shop).run()]);
    await turn();
    journal.note('shop', 'free');
    await lock.release();
    await calls;
    expect(journal.of('shop')).toEqual(['free', 'enter', 'leave', 'enter', 'leave']);
  });
});

describe('how LockModule is registered', () => {
  const billing = new Journal();
  beforeEach(() => {
    billing.clear();
  });

  @Injectable()
  class Accounts {
    constructor(
      @InjectLockService('billing') readonly billing: LockService,
      @InjectLockService() readonly unnamed: LockService,
      @Inject(LockService) readonly byClass: LockService,
    ) {}

    @InjectLockService('billing')
    readonly asProperty!: LockService;

    @Locked('pay', { name: 'billing' })
    async pay() {
      return billing.body('pay', this.billing.current()?.key);
    }

    @Locked('ship')
    async ship() {
      return journal.body('ship', this.unnamed.current()?.key);
    }

    @Locked('over both', { name: 'billing' })
    @Locked('over both')
    async both() {
      billing.note('over both', 'enter');
      return journal.body(
        'over both',
        [this.billing, this.unnamed].map((it) => it.current()?.key),
      );
    }
  }

  @Injectable()
  class Options implements LockOptionsFactory {
    createLockOptions(): LockModuleOptions {
      return { backend: billing, wait: 0 };
    }
  }

  @Module({ providers: [Options], exports: [Options] })
  class OptionsModule {}

  @Global()
  @Module({ providers: [{ provide: 'backend', useValue: billing }], exports: ['backend'] })
  class BackendModule {}

  const registrations: [string, DynamicModule][] = [
    ['forRoot', LockModule.forRoot({ backend: billing, name: 'billing', wait: 0 })],
    [
      'forRootAsync, useFactory',
      LockModule.forRootAsync({
        name: 'billing',
        imports: [BackendModule],
        inject: ['backend'],
        useFactory: async (backend: Journal) => ({ backend, wait: 0 }),
      }),
    ],
    ['forRootAsync, useClass', LockModule.forRootAsync({ name: 'billing', useClass: Options })],
    [
      'forRootAsync, useExisting',
      LockModule.forRootAsync({ name: 'billing', imports: [OptionsModule], useExisting: Options }),
    ],
  ];

  describe.each(registrations)('a named instance by %s', (_, named) => {
    it.each(['before', 'after'])('stands beside the unnamed one, %s it', async (place) => {
      const imports = place === 'before' ? [named, locks] : [locks, named];
      const accounts = (await start({ imports, providers: [Accounts] })).get(Accounts);

      expect(accounts.byClass).toBe(accounts.unnamed);
      expect(accounts.billing).not.toBe(accounts.unnamed);
      expect(accounts.asProperty).toBe(accounts.billing);

      await expect(Promise.all([accounts.pay(), accounts.ship()])).resolves.toEqual([
        'pay',
        'ship',
      ]);
      expect(billing.of('pay')).toEqual(lockedOnce());
      expect(journal.of('ship')).toEqual(lockedOnce());
      expect(billing.of('ship')).toEqual([]);
      expect(journal.of('pay')).toEqual([]);

      // Its options are its own: `wait: 0` here, ten seconds there.
      await Promise.all([accounts.ship(), accounts.ship()]);
      await expect(Promise.all([accounts.pay(), accounts.pay()])).rejects.toMatchObject({
        code: 'LOCK_TIMEOUT',
        wait: 0,
      });
    });

    it('has keys of its own, also for one method that is locked by both', async () => {
      const app = await start({ imports: [named, locks], providers: [Accounts] });
      const accounts = app.get(Accounts);
      await expect(accounts.both()).resolves.toEqual(['over both', 'over both']);
      expect(journal.of('over both')).toEqual(lockedOnce());
      expect(billing.of('over both')).toEqual(['granted', 'enter', 'released']);
    });

    it('wires what the application was given', async () => {
      const provider = {
        provide: Accounts,
        useFactory: (one: LockService, other: LockService) => new Accounts(one, other, other),
        inject: [getLockServiceToken('billing'), LockService],
      };
      const app = await start({ imports: [locks, named], providers: [provider] });
      const accounts = app.get(Accounts);
      await Promise.all([accounts.pay(), accounts.ship(), accounts.both()]);
      expect(billing.of('pay')).toEqual(lockedOnce());
      expect(journal.of('ship')).toEqual(lockedOnce());
      expect(billing.of('over both')).toEqual(['granted', 'enter', 'released']);
      expect(journal.of('over both')).toEqual(lockedOnce());
    });
  });

  it('attach wires for one name', async () => {
    const app = await start({
      imports: [LockModule.forRoot({ backend: billing, name: 'billing' })],
    });
    const service = app.get<LockService>(getLockServiceToken('billing'));
    const accounts = service.attach(new Accounts(service, service, service));
    await accounts.pay();
    expect(billing.of('pay')).toEqual(lockedOnce());
    await expect(accounts.ship()).rejects.toThrow(LockNotWiredError);
    await expect(accounts.both()).rejects.toThrow(LockNotWiredError);
    expect(journal.of('over both')).toEqual([]);
  });

  it('two names on two backends do not know each other', async () => {
    @Injectable()
    class Two {
      @Locked('key', { name: 'left' })
      async left() {
        return journal.body('key', 'left');
      }

      @Locked('key', { name: 'right' })
      async right() {
        return billing.body('key', 'right');
      }
    }
    const imports = [
      LockModule.forRoot({ backend: journal, name: 'left' }),
      LockModule.forRoot({ backend: billing, name: 'right' }),
    ];
    const two = (await start({ imports, providers: [Two] })).get(Two);
    await Promise.all([two.left(), two.right(), two.left(), two.right()]);
    expect(journal.of('key')).toEqual(lockedOnce(2));
    expect(billing.of('key')).toEqual(lockedOnce(2));
  });

  it('without a backend locks in memory, for every module', async () => {
    @Module({ providers: [name, Shop] })
    class Feature {}
    const app = await start({ imports: [Feature, LockModule.forRoot()] });
    const service = app.get(LockService);
    const shop = app.select(Feature).get(Shop);

    const lock = await service.acquire('shop');
    const calls = Promise.all([shop.run(), shop.run()]);
    await turn();
    journal.note('shop', 'free');
    await lock.release();
    await calls;
    expect(journal.of('shop')).toEqual(['free', 'enter', 'leave', 'enter', 'leave']);
  });

  it('with isGlobal false it is there only for who imports it', async () => {
    const local = LockModule.forRoot({ backend: journal, isGlobal: false });
    @Module({ imports: [local], providers: [name, Shop] })
    class Inside {}
    @Module({ providers: [name, Shop] })
    class Outside {}

    const app = await start({ imports: [Inside] });
    await expectLockedOnce(app.get(Shop, { strict: false }), 'by Nest');
    await expect(start({ imports: [Inside, Outside] })).rejects.toThrow(
      new RegExp(`${tokenOf()}.*Outside`, 's'),
    );
  });

  it('with isGlobal false for each of two modules, each locks by its own', async () => {
    const backends = { left: new Journal(), right: new Journal() };
    class Own {
      constructor(@Inject('side') private readonly side: 'left' | 'right') {}
      @Locked('own')
      async run() {
        return backends[this.side].body('own', this.side);
      }
    }
    @Module({
      imports: [LockModule.forRoot({ backend: backends.left, isGlobal: false })],
      providers: [
        Own,
        { provide: 'side', useValue: 'left' },
        { provide: 'given', useFactory: () => new Own('left') },
      ],
    })
    class Left {}
    @Module({
      imports: [LockModule.forRoot({ backend: backends.right, isGlobal: false })],
      providers: [
        Own,
        { provide: 'side', useValue: 'right' },
        { provide: 'given', useFactory: () => new Own('right') },
      ],
    })
    class Right {}
    const app = await start({ imports: [Left, Right] });

    for (const token of [Own, 'given']) {
      const own = (module: typeof Left) => app.select(module).get<Own>(token, { strict: true });
      await expect(own(Left).run()).resolves.toBe('left');
      await expect(own(Right).run()).resolves.toBe('right');
    }
    expect(backends.left.of('own')).toEqual(lockedOnce(2));
    expect(backends.right.of('own')).toEqual(lockedOnce(2));
  });

  it('logs nothing at a start where all is well', async () => {
    const log = new Log();
    await start({ imports: [locks], providers: [name, Shop] }, { log });
    expect([...log.warnings, ...log.errors]).toEqual([]);
  });

  it('wires the locked streams of what the application was given', async () => {
    class Streaming {
      @LockedStream('made stream')
      numbers(): Observable<number> {
        journal.note('made stream', 'enter');
        return of(1, 2);
      }
    }
    const app = await start({
      imports: [locks],
      providers: [{ provide: Streaming, useFactory: () => new Streaming() }],
    });
    await expect(lastValueFrom(app.get(Streaming).numbers())).resolves.toBe(2);
    expect(journal.of('made stream')).toEqual(['granted', 'enter', 'released']);
  });
});
