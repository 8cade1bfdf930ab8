import {
  ConfigurableModuleBuilder,
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { locksAreOver } from '../nest/application-shutdown.js';
import { measureLocks } from './measure-locks.js';
import type { PrometheusOptions } from './options.js';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<PrometheusOptions>().setClassMethodName('forRoot').build();

/**
 * {@link measureLocks} for as long as the application runs, until its locks are given back. Import
 * it once: it is for all locks of the process.
 */
@Module({})
export class LockPrometheusModule extends ConfigurableModuleClass implements OnApplicationShutdown {
  private readonly end: () => void;

  constructor(
    @Inject(MODULE_OPTIONS_TOKEN) options: PrometheusOptions,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
  ) {
    super();
    this.end = measureLocks(options);
  }

  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    return super.forRoot(options);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }

  /** Not awaited: the locks come after all else. */
  onApplicationShutdown(): void {
    void locksAreOver(this.moduleRef).then(this.end);
  }
}
