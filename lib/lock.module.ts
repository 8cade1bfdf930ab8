import {
  ConfigurableModuleBuilder,
  type DynamicModule,
  Inject,
  Module,
  type OnModuleInit,
  type Provider,
} from '@nestjs/common';
import { DiscoveryService, ModuleRef } from '@nestjs/core';
import { closeLast, shutdownOf } from './nest/application-shutdown.js';
import type { LockBackend } from './backends/lock-backend.js';
import { MemoryBackend } from './backends/memory/memory.backend.js';
import type { LockModuleOptions, LockOptionsFactory } from './interfaces/index.js';
import {
  getLockBackendToken,
  getLockInterceptorToken,
  getLockServiceToken,
  OPTIONS_TOKEN,
} from './lock.constants.js';
import { LockExplorer } from './nest/lock.explorer.js';
import { LockInterceptor } from './lock.interceptor.js';
import {
  checkRegisteredOnce,
  checkSameForAllRequests,
  containerOf,
} from './nest/lock-registration.js';
import { checkIsOptions, checkName } from './options/option-checks.js';
import { LockService } from './lock.service.js';

/** What is said about the module itself, beside its options. */
export interface LockModuleExtras {
  /** For an instance beside the unnamed one: `@Locked(key, { name })`, `@InjectLockService(name)`. */
  name?: string;
  /**
   * Whether every module of the application can inject it.
   * @default true
   */
  isGlobal?: boolean;
}

const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<LockModuleOptions>({ optionsInjectionToken: OPTIONS_TOKEN })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createLockOptions' satisfies keyof LockOptionsFactory)
    .setExtras<LockModuleExtras>({ name: undefined, isGlobal: true }, provide)
    .build();

/**
 * Registers a backend and the LockService on it, for the whole application unless `isGlobal` is
 * false. Give every further instance a `name`.
 *
 * `forRoot` and `forRootAsync` are made by Nest's ConfigurableModuleBuilder. Bad options stop the
 * application at its start with a LockConfigurationError; so do two of one name, unless none of them
 * is global, and options that depend on a request-scoped provider.
 */
@Module({})
export class LockModule extends ConfigurableModuleClass implements OnModuleInit {
  constructor(@Inject(ModuleRef) private readonly moduleRef: ModuleRef) {
    super();
    checkRegisteredOnce(moduleRef);
    closeLast(moduleRef);
  }

  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    checkIsOptions(options);
    return super.forRoot(options);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }

  onModuleInit(): void {
    checkSameForAllRequests(this.moduleRef);
  }
}

function provide(definition: DynamicModule, { name, isGlobal }: LockModuleExtras): DynamicModule {
  checkName(name);
  const backend = getLockBackendToken(name);
  const service = getLockServiceToken(name);
  const interceptor = getLockInterceptorToken(name);
  const unnamed = name === undefined;
  const providers: Provider[] = [
    {
      provide: backend,
      useFactory: (options: LockModuleOptions) => {
        checkIsOptions(options);
        const { backend: given = new MemoryBackend() } = options;
        return given;
      },
      inject: [OPTIONS_TOKEN],
    },
    {
      provide: unnamed ? LockService : service,
      useFactory: (options: LockModuleOptions, given: LockBackend, moduleRef: ModuleRef) => {
        // Also here: a module that is loaded lazily is not initialised.
        checkSameForAllRequests(moduleRef);
        return new LockService({ ...options, backend: given }, name).endIn(shutdownOf(moduleRef));
      },
      inject: [OPTIONS_TOKEN, backend, ModuleRef],
    },
    {
      provide: interceptor,
      useFactory: (locks: LockService) => new LockInterceptor(locks),
      inject: [service],
    },
    {
      provide: LockExplorer,
      useFactory: (moduleRef: ModuleRef, locks: LockService, given: LockBackend) =>
        new LockExplorer(discoveryBy(moduleRef), locks, given, name),
      inject: [ModuleRef, service, backend],
    },
  ];
  const exported = [backend, service, interceptor];
  if (unnamed) {
    // Here the class comes first, so that a test that overrides it overrides what decorators use.
    providers.push(
      { provide: service, useExisting: LockService },
      { provide: LockInterceptor, useExisting: interceptor },
    );
  }
  return {
    ...definition,
    global: isGlobal ?? true,
    providers: [...(definition.providers ?? []), ...providers],
    exports: unnamed ? [...exported, LockService, LockInterceptor] : exported,
  };
}

/**
 * Nest's own, but past the proxy that an application may put around each instance that is injected
 * (its option `instrument`): behind one the Map of all modules does not work.
 */
function discoveryBy(moduleRef: ModuleRef): DiscoveryService {
  return new DiscoveryService(containerOf(moduleRef).getModules());
}
