// An application as it is deployed: HTTP, a queue and a cron job, all under locks on one Redis. It runs
// on the built package, in a process of its own that deploys.spec.ts starts and ends. It imports packages
// only, no neighbours: it is handed to node as text.
import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Controller,
  Inject,
  Injectable,
  Module,
  type OnApplicationShutdown,
  Param,
  Post,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { BullModule, Processor, WorkerHost } from '@nestjs/bullmq';
import { Cron, ScheduleModule } from '@nestjs/schedule';
import type { Job } from 'bullmq';
import { Redis } from 'ioredis';
import { Locked, LockModule } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';

const redis = { host: '127.0.0.1', port: Number(process.env.REDIS_PORT) };

/** Counts in two steps, which only a lock makes one. */
@Injectable()
class Ledger implements OnApplicationShutdown {
  readonly #redis = new Redis(redis);
  #isOpen = true;

  @Locked('ledger:{0}', { wait: '20s' })
  async count(what: string): Promise<void> {
    const before = Number(await this.#redis.get(what));
    await sleep(1);
    await this.#redis.set(what, before + 1);
  }

  note(what: string): Promise<number> {
    if (!this.#isOpen) throw new Error('the ledger is closed');
    return this.#redis.incr(what);
  }

  /** What others of Nest close here, as databases are. */
  onApplicationShutdown(): void {
    this.#isOpen = false;
  }
}

@Controller()
class Orders {
  constructor(@Inject(Ledger) private readonly ledger: Ledger) {}

  @Post('orders/:id')
  async order(@Param('id') id: string): Promise<string> {
    await sleep(20);
    return this.save(id);
  }

  @Locked('order:{0}')
  async save(id: string): Promise<string> {
    await sleep(5);
    await this.ledger.count('orders');
    return id;
  }
}

@Processor('invoices', { concurrency: 4 })
class Invoices extends WorkerHost {
  constructor(@Inject(Ledger) private readonly ledger: Ledger) {
    super();
  }

  @Locked((job: Job<{ customer: number }>) => `customer:${job.data.customer}`, { wait: '20s' })
  async process(_job: Job<{ customer: number }>): Promise<void> {
    await sleep(20);
    await this.ledger.count('invoices');
  }
}

@Injectable()
class Reports {
  constructor(@Inject(Ledger) private readonly ledger: Ledger) {}

  @Cron('* * * * * *')
  @Locked('report', { wait: 0, onBusy: 'skip' })
  async report(): Promise<void> {
    await this.ledger.note('reports begun');
    await sleep(300);
    await this.ledger.count('reports');
    await this.ledger.note('reports done');
  }
}

@Module({
  imports: [
    LockModule.forRoot({ backend: new RedisBackend({ options: redis }) }),
    ScheduleModule.forRoot(),
    BullModule.forRoot({ connection: redis }),
    BullModule.registerQueue({ name: 'invoices' }),
  ],
  controllers: [Orders],
  providers: [Ledger, Invoices, Reports],
})
class App {}

const app = await NestFactory.create(App, { logger: ['warn', 'error', 'fatal'] });
app.enableShutdownHooks(['SIGTERM']);
await app.listen(0, '127.0.0.1');
console.log(`serves ${await app.getUrl()}`);
