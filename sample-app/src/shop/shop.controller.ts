import { setTimeout as sleep } from 'node:timers/promises';
import {
  Controller,
  Get,
  HttpStatus,
  Param,
  ParseEnumPipe,
  Post,
  UseFilters,
} from '@nestjs/common';
import { LockBusyFilter, Locked } from 'nestjs-lock';
import { SEATS, SHOWS } from './shows.js';
import { TicketStock } from './stock/ticket-stock.js';
import { TicketsService, type Ticket } from './tickets.service.js';

/** How long the printer takes, in milliseconds. */
const PRINTING = 2_000;

/** So many buyers come at once. */
const RUSH = 200;

/** Pipes and guards run before a lock is taken: nobody queues for a show that is not on. */
const knownShow = new ParseEnumPipe(Object.fromEntries(SHOWS.map((show) => [show, show])), {
  errorHttpStatusCode: HttpStatus.NOT_FOUND,
});

/** A lock that stays busy is answered with 409 Conflict and a Retry-After header. */
@Controller('shows')
@UseFilters(LockBusyFilter)
export class ShopController {
  constructor(
    private readonly tickets: TicketsService,
    private readonly stock: TicketStock,
  ) {}

  @Get(':show')
  async show(@Param('show', knownShow) show: string): Promise<{ show: string; left: number }> {
    return { show, left: await this.stock.left(show) };
  }

  @Post(':show/tickets')
  buy(@Param('show', knownShow) show: string): Promise<Ticket> {
    return this.tickets.buy(show);
  }

  @Post(':show/tickets/unlocked')
  buyUnlocked(@Param('show', knownShow) show: string): Promise<Ticket> {
    return this.tickets.buyUnlocked(show);
  }

  /** New tickets, and 200 buyers at once: see /locks meanwhile. */
  @Post(':show/rush')
  async rush(@Param('show', knownShow) show: string): Promise<{ show: string; sold: number }> {
    await this.stock.write(show, SEATS);
    const buyers = Array.from({ length: RUSH }, () => this.tickets.buy(show));
    const purchases = await Promise.allSettled(buyers);
    return { show, sold: purchases.filter(({ status }) => status === 'fulfilled').length };
  }

  /** There is one printer, and a second job is not queued but refused at once: `wait: 0`. */
  @Post(':show/print')
  @Locked('printer', { wait: 0 })
  async print(@Param('show', knownShow) show: string): Promise<string> {
    await sleep(PRINTING);
    return `The programme of ${show} is printed.\n`;
  }
}
