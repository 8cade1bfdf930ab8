import { Processor, WorkerHost } from '@nestjs/bullmq';
import type { Job } from 'bullmq';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { startQueue } from '../support/queue.js';
import { row } from '../support/row.js';

await row({
  packages: ['@nestjs/bullmq', 'bullmq'],
  beside: '`process` of a `@Processor`',
  orders: ['above'],
  async run(scene) {
    @Processor('invoices', { concurrency: 4 })
    class Invoices extends WorkerHost {
      @Locked('customer:{0.data.customer}')
      async process(job: Job<{ customer: number }>) {
        return scene.body(`invoice for ${job.data.customer}`);
      }
    }

    const add = await startQueue<string>(scene, Invoices);
    const answers = await scene.calls(() => add({ customer: 7 }));
    assert.deepEqual(answers, Array(4).fill('invoice for 7'));
  },
});
