import { setTimeout as sleep } from 'node:timers/promises';
import { GoneException, Injectable } from '@nestjs/common';
import { InjectLockService, Locked, type LockService } from 'nestjs-lock';
import { TicketStock } from './stock/ticket-stock.js';

/** How long the bank takes, in milliseconds. */
const PAYMENT = 10;

export interface Ticket {
  readonly show: string;
  readonly seat: number;
  /** Of the lock that it was sold under. */
  readonly fencingToken?: number;
}

@Injectable()
export class TicketsService {
  constructor(
    private readonly stock: TicketStock,
    @InjectLockService() private readonly locks: LockService,
  ) {}

  /**
   * What everybody writes first: read, decide, write. While the bank takes its time, other buyers
   * read the same number, and all of them are sold the same seat.
   */
  async buyUnlocked(show: string): Promise<Ticket> {
    const seat = await this.#sell(show);
    await this.stock.write(show, seat - 1);
    return { show, seat };
  }

  /**
   * The same under a lock of the show: one buyer at a time, in whatever process they are served.
   * They would rather queue for half a minute than go without.
   */
  @Locked('show:{0}', { wait: '30s' })
  async buy(show: string): Promise<Ticket> {
    const seat = await this.#sell(show);
    const { fencingToken } = this.#lock();
    await this.stock.writeFenced(show, seat - 1, fencingToken);
    return { show, seat, fencingToken };
  }

  async #sell(show: string): Promise<number> {
    const left = await this.stock.left(show);
    if (left === 0) throw new GoneException(`${show} is sold out`);
    await sleep(PAYMENT);
    return left;
  }

  /** The lock that the caller runs under. */
  #lock() {
    const lock = this.locks.current();
    if (lock === undefined) throw new Error('This must run under a lock');
    return lock;
  }
}
