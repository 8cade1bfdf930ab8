import { OnWorkerEvent, Processor, WorkerHost } from '@nestjs/bullmq';
import type { Job } from 'bullmq';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { startQueue } from '../support/queue.js';
import { row } from '../support/row.js';

await row({
  packages: ['@nestjs/bullmq', 'bullmq'],
  beside: '`@OnWorkerEvent`',
  async run(scene) {
    const completed: unknown[] = [];

    @Processor('invoices')
    class Invoices extends WorkerHost {
      async process() {
        return Promise.resolve('done');
      }

      @scene.inOrder(Locked('mail'), OnWorkerEvent('completed'))
      async onCompleted(job: Job) {
        completed.push(await scene.body(job.returnvalue));
      }
    }

    const add = await startQueue<string>(scene, Invoices);
    await scene.calls(() => add({}));
    assert.deepEqual(completed, Array(4).fill('done'));
  },
});
