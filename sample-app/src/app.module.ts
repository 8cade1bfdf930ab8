import { Module } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { LockModule } from 'nestjs-lock';
import { LockDashboardModule } from 'nestjs-lock/dashboard';
import { isOperator } from './dashboard-access.js';
import { HealthModule } from './health/health.module.js';
import { lockBackendOf } from './lock-backend.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { SettingsModule } from './settings.module.js';
import { Settings } from './settings.js';
import { ShopModule } from './shop/shop.module.js';

@Module({
  imports: [
    // The one place that knows where the locks live: nothing in shop/ changes with it.
    LockModule.forRootAsync({
      imports: [SettingsModule],
      inject: [Settings],
      useFactory: async ({ store }: Settings) => ({ backend: await lockBackendOf(store) }),
    }),
    LockDashboardModule.forRoot({ path: '/locks', readOnly: false, authorize: isOperator }),
    HealthModule,
    MetricsModule,
    ScheduleModule.forRoot(),
    SettingsModule,
    ShopModule,
  ],
})
export class AppModule {}
