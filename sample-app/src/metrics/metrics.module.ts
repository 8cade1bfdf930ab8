import { Module } from '@nestjs/common';
import { LockPrometheusModule } from 'nestjs-lock/prometheus';
import { MetricsController } from './metrics.controller.js';

@Module({
  imports: [LockPrometheusModule.forRoot()],
  controllers: [MetricsController],
})
export class MetricsModule {}
