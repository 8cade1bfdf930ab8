import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type BeforeApplicationShutdown,
  ConfigurableModuleBuilder,
  type DynamicModule,
  Inject,
  Logger,
  type MiddlewareConsumer,
  Module,
  type NestModule,
  type OnModuleInit,
  RequestMethod,
} from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { findLockService } from '../nest/find-lock-service.js';
import { Dashboard } from './dashboard.js';
import {
  type DashboardSettings,
  type LockDashboardOptions,
  type LockDashboardOptionsFactory,
  readDashboardOptions,
} from './dashboard-options.js';

/** The options of one LockDashboardModule, within it. */
const DASHBOARD_OPTIONS = Symbol.for('nestjs-lock:dashboard-options');

const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<LockDashboardOptions>({ optionsInjectionToken: DASHBOARD_OPTIONS })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createLockDashboardOptions' satisfies keyof LockDashboardOptionsFactory)
    .build();

/**
 * Serves a page that shows who holds which lock and who waits, on Express and on Fastify. It answers
 * before guards and interceptors of the application are asked: `authorize` is what decides.
 *
 * Bad options stop the application at its start with a LockConfigurationError.
 *
 * @example
 * LockDashboardModule.forRoot({ authorize: (request) => sessions.isOperator(request) })
 */
@Module({})
export class LockDashboardModule
  extends ConfigurableModuleClass
  implements NestModule, OnModuleInit, BeforeApplicationShutdown
{
  private readonly settings: DashboardSettings;
  private readonly dashboard: Dashboard;

  constructor(
    @Inject(DASHBOARD_OPTIONS) options: LockDashboardOptions,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
  ) {
    super();
    this.settings = readDashboardOptions(options);
    this.dashboard = new Dashboard(this.settings, () =>
      findLockService(moduleRef, this.settings.name),
    );
  }

  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    return super.forRoot(options);
  }

  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }

  configure(consumer: MiddlewareConsumer): void {
    const { path } = this.settings;
    consumer
      .apply((request: IncomingMessage, response: ServerResponse) =>
        this.dashboard.handle(request, response),
      )
      .forRoutes(
        { path, method: RequestMethod.ALL },
        { path: `${path}/*file`, method: RequestMethod.ALL },
      );
  }

  onModuleInit(): void {
    findLockService(this.moduleRef, this.settings.name);
    const { path, authorize } = this.settings;
    if (authorize !== undefined || process.env.NODE_ENV === 'development') return;
    new Logger('LockDashboardModule').warn(
      `The dashboard at ${path} answers nobody until it is given the option authorize; ` +
        'with NODE_ENV=development it answers localhost',
    );
  }

  /** Open pages would keep the HTTP server from closing. */
  beforeApplicationShutdown(): void {
    this.dashboard.close();
  }
}
