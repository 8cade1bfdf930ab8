import { Injectable } from '@nestjs/common';
import { Cron, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { Locked } from 'nestjs-lock';
import { row } from '../support/row.js';

await row({
  packages: ['@nestjs/schedule'],
  beside: '`@Cron`',
  async run(scene) {
    @Injectable()
    class Jobs {
      @scene.inOrder(Locked('nightly'), Cron('0 0 1 1 *', { name: 'nightly' }))
      async nightly() {
        await scene.body('done');
      }
    }

    const app = await scene.http({ imports: [ScheduleModule.forRoot()], providers: [Jobs] });
    const job = app.get(SchedulerRegistry).getCronJob('nightly');
    await scene.calls(() => job.fireOnTick());
  },
});
