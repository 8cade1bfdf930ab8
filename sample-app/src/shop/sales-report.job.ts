import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Logger } from '@nestjs/common';
import { Cron, CronExpression } from '@nestjs/schedule';
import { InjectLockService, Locked, type LockService } from 'nestjs-lock';
import { SHOWS } from './shows.js';
import { TicketStock } from './stock/ticket-stock.js';

/** By how much the clocks of two replicas may differ, in milliseconds. */
const CLOCK_DIFFERENCE = 1_000;

@Injectable()
export class SalesReportJob {
  readonly #logger = new Logger(SalesReportJob.name);

  constructor(
    private readonly stock: TicketStock,
    @InjectLockService() private readonly locks: LockService,
  ) {}

  /**
   * Runs on one replica only. The clock strikes on all of them; one gets the lock, the others find
   * it busy and skip their turn.
   *
   * The lock is held while this method runs, no longer. A report that is done in two milliseconds
   * would give it back before a replica whose clock is three milliseconds late has even asked, and
   * that one would report again. So the method stays until the clock has struck everywhere. The
   * option `minHold` will do that without keeping the method waiting; this version has no such
   * option yet.
   */
  @Cron(CronExpression.EVERY_10_SECONDS)
  @Locked('sales-report', { wait: 0, onBusy: 'skip' })
  async report(): Promise<void> {
    const left = await Promise.all(
      SHOWS.map(async (show) => `${show} ${await this.stock.left(show)}`),
    );
    this.#logger.log(`Tickets left: ${left.join(', ')}`);
    // The signal also says when the application shuts down: then there is nothing to stay for.
    const signal = this.locks.current()?.signal;
    await sleep(CLOCK_DIFFERENCE, undefined, { signal }).catch(() => undefined);
  }
}
