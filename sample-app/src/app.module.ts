import { Module } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { LockModule } from 'nestjs-lock';
import { lockBackendOf } from './lock-backend.js';
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
    ScheduleModule.forRoot(),
    SettingsModule,
    ShopModule,
  ],
})
export class AppModule {}
