import { BullModule, getQueueToken, type WorkerHost } from '@nestjs/bullmq';
import type { Type } from '@nestjs/common';
import { type Queue, QueueEvents } from 'bullmq';
import { freePort } from './free-port.js';
import type { Scene } from './scene.js';
import { startServer } from './server.js';

/** An application with a queue "invoices" on a real Redis; adds a job, and answers what came of it. */
export async function startQueue<T>(
  scene: Scene,
  processor: Type<WorkerHost>,
): Promise<(data: object) => Promise<T>> {
  const port = await freePort();
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', ''];
  scene.closeAtTheEnd(await startServer('redis-server', settings, 'Ready to accept connections'));
  const connection = { host: '127.0.0.1', port };
  const app = await scene.http({
    imports: [BullModule.forRoot({ connection }), BullModule.registerQueue({ name: 'invoices' })],
    providers: [processor],
  });
  const events = new QueueEvents('invoices', { connection });
  scene.closeAtTheEnd(() => events.close());
  await events.waitUntilReady();
  const queue = app.get<Queue<object, T>>(getQueueToken('invoices'));
  return async (data) => (await queue.add('invoice', data)).waitUntilFinished(events);
}
