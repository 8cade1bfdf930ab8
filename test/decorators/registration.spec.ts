import {
  type DynamicModule,
  forwardRef,
  Inject,
  Injectable,
  Module,
  type ModuleMetadata,
  Scope,
  type Type,
} from '@nestjs/common';
import { LazyModuleLoader, REQUEST } from '@nestjs/core';
import {
  getLockServiceToken,
  Locked,
  LockConfigurationError,
  LockModule,
  LockService,
  type LockModuleOptions,
  type LockProcess,
} from 'nestjs-lock';
import { Journal } from '../support/journal.js';
import { start } from '../support/nest-application.js';

type Imports = NonNullable<ModuleMetadata['imports']>;

/** Counts who uses it. */
class Counted extends Journal {
  connections = 0;

  override connect(process: LockProcess) {
    this.connections++;
    return super.connect(process);
  }
}

let backend: Counted;
const useFactory = (): LockModuleOptions => ({ backend });

beforeEach(() => {
  backend = new Counted();
});

async function expectRefused(starting: Promise<unknown>, ...why: RegExp[]): Promise<void> {
  await expect(starting).rejects.toThrow(LockConfigurationError);
  for (const words of why) await expect(starting).rejects.toThrow(words);
  expect(backend.connections).toBe(0);
}

describe('two LockModules of one name in an application are refused at its start', () => {
  function feature(...imports: Imports): Type {
    @Module({ imports })
    class Feature {}
    return Feature;
  }

  const forRoot = (more: Parameters<typeof LockModule.forRoot>[0] = {}) =>
    LockModule.forRoot({ backend, ...more });

  it.each<[string, () => [DynamicModule, DynamicModule], RegExp]>([
    ['forRoot() twice', () => [forRoot(), forRoot()], /LockModule is registered 2 times/],
    [
      'forRoot() and forRootAsync()',
      () => [forRoot(), LockModule.forRootAsync({ useFactory })],
      /LockModule is registered 2 times/,
    ],
    [
      'a name twice',
      () => [forRoot({ name: 'a' }), forRoot({ name: 'a' })],
      /LockModule 'a' is registered 2 times/,
    ],
    [
      'one for all and one for a module',
      () => [forRoot(), forRoot({ isGlobal: false })],
      /LockModule is registered 2 times/,
    ],
  ])('%s', async (_, both, what) => {
    const [first, second] = both();
    @Module({ imports: [first, feature(second)] })
    class Application {}
    const starting = start({ imports: [Application] });
    await expectRefused(starting, what, /by Application, by Feature\b/);
  });

  it.each<[string, () => Imports[number], RegExp]>([
    [
      'a dynamic module',
      () => ({ module: class Register {}, imports: [forRoot()] }),
      /by Feature, by Register\b/,
    ],
    [
      'a forward reference',
      () => forwardRef(() => feature(forwardRef(() => forRoot()))),
      /by Feature, by Feature\b/,
    ],
    [
      'a module to come',
      () => Promise.resolve({ module: class Later {}, imports: [forRoot()] }),
      /by Feature, by Later\b/,
    ],
  ])('the second one is in %s', async (_, second, why) => {
    await expectRefused(start({ imports: [feature(forRoot()), second()] }), why);
  });

  it('one that is loaded later is refused then, and the first works on', async () => {
    const app = await start({ imports: [forRoot()] });
    const loading = app.get(LazyModuleLoader).load(() => feature(forRoot()));
    await expect(loading).rejects.toThrow(LockConfigurationError);
    await expect(loading).rejects.toThrow(/by RootTestModule, by Feature\b/);
    await expect(app.get(LockService).withLock('a', () => 'done')).resolves.toBe('done');
    expect(backend.connections).toBe(1);
  });

  it('not one that several modules import, nor those of several names or applications', async () => {
    const one = forRoot();
    const metadata = { imports: [one, feature(one), feature(one, forRoot({ name: 'other' }))] };
    const [app, beside] = [await start(metadata), await start(metadata)];
    for (const token of [LockService, getLockServiceToken('other')]) {
      expect(app.get<LockService>(token)).not.toBe(beside.get<LockService>(token));
    }
    expect(backend.connections).toBe(4);
  });
});

describe('options that depend on a request-scoped provider are refused at the start', () => {
  @Injectable({ scope: Scope.REQUEST })
  class PerRequest {
    createLockOptions = useFactory;
  }
  @Injectable({ scope: Scope.REQUEST, durable: true })
  class PerTenant extends PerRequest {}
  @Injectable()
  class Through {
    constructor(@Inject(PerRequest) readonly inner: PerRequest) {}
    createLockOptions = useFactory;
  }
  @Injectable()
  class ThroughProperty {
    @Inject(Through) readonly inner!: Through;
    createLockOptions = useFactory;
  }
  @Injectable({ scope: Scope.TRANSIENT })
  class Transient {
    createLockOptions = useFactory;
  }
  @Injectable()
  class Job {
    @Locked('job')
    async run(): Promise<void> {}
  }
  @Module({
    providers: [PerRequest, PerTenant, Through, ThroughProperty, Transient],
    exports: [PerRequest, PerTenant, Through, ThroughProperty, Transient],
  })
  class Settings {}

  const withSettings = (inject: Type | typeof REQUEST, more = {}) =>
    LockModule.forRootAsync({ imports: [Settings], inject: [inject], useFactory, ...more });

  it.each<[string, () => DynamicModule, RegExp]>([
    ['inject', () => withSettings(PerRequest), /depend on PerRequest, which is request-scoped/],
    ['inject of a durable one', () => withSettings(PerTenant), /depend on PerTenant, which is/],
    ['inject of the request', () => withSettings(REQUEST), /depend on REQUEST, which is/],
    [
      'what is injected into it',
      () => withSettings(ThroughProperty),
      /depend on ThroughProperty, which depends on Through, which depends on PerRequest, which is/,
    ],
    [
      'useExisting',
      () => LockModule.forRootAsync({ imports: [Settings], useExisting: PerRequest }),
      /depend on PerRequest, which is/,
    ],
    [
      'useClass',
      () => LockModule.forRootAsync({ useClass: PerRequest }),
      /depend on PerRequest, which is/,
    ],
    [
      'inject of a named one',
      () => withSettings(PerRequest, { name: 'billing' }),
      /LockModule 'billing', .* depend on PerRequest, which is/,
    ],
  ])('by %s', async (_, module, why) => {
    const providers = [{ provide: 'nothing', useValue: 1 }];
    const starting = start({ imports: [module()], providers });
    await expectRefused(starting, why, /registered by RootTestModule/);
  });

  it('by a module that is loaded later: with the first request, before anything is locked', async () => {
    @Module({ imports: [withSettings(PerRequest)], providers: [Job], exports: [Job] })
    class Later {}
    const app = await start({});
    const later = await app.get(LazyModuleLoader).load(() => Later);
    await expectRefused(later.resolve(Job), /depend on PerRequest, which is request-scoped/);
  });

  it('not those that depend on a transient provider', async () => {
    const app = await start({ imports: [withSettings(Transient)], providers: [Job] });
    await app.get(Job).run();
    expect(backend.of('job')).toEqual(['granted', 'released']);
    expect(backend.connections).toBe(1);
  });
});
