import { Module } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { LockModule, MemoryBackend } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { Settings, SettingsModule } from './settings.js';
import { ShopModule } from './shop/shop.module.js';

@Module({
  imports: [
    // The one place that knows where the locks live: nothing in shop/ changes with it.
    LockModule.forRootAsync({
      imports: [SettingsModule],
      inject: [Settings],
      useFactory: ({ redisUrl }: Settings) => ({
        backend: redisUrl
          ? new RedisBackend({ url: redisUrl, namespace: 'ticket-shop' })
          : new MemoryBackend(),
      }),
    }),
    ScheduleModule.forRoot(),
    SettingsModule,
    ShopModule,
  ],
})
export class AppModule {}
