// One process of the shop, as `npm run demo` starts several: it does what its parent orders.
import { HttpException } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';
import { TicketStock } from './shop/stock/ticket-stock.js';
import { TicketsService, type Ticket } from './shop/tickets.service.js';

export type Order =
  | { readonly task: 'open'; readonly show: string; readonly tickets: number }
  | {
      readonly task: 'rush';
      readonly show: string;
      readonly buyers: number;
      readonly locked: boolean;
    }
  | { readonly task: 'close'; readonly show: string };

/** What became of one buyer. */
export interface Purchase {
  /** None when the show was sold out. */
  readonly ticket: Ticket | undefined;
  /** Milliseconds until the buyer had an answer. */
  readonly waited: number;
}

const app = await NestFactory.createApplicationContext(AppModule, {
  logger: ['warn', 'error'],
  abortOnError: false,
});
const stock = app.get(TicketStock);
const tickets = app.get(TicketsService);

async function carryOut(order: Order): Promise<Purchase[]> {
  const { show } = order;
  switch (order.task) {
    case 'open':
      await stock.open(show, order.tickets);
      return [];
    case 'rush':
      return Promise.all(Array.from({ length: order.buyers }, () => purchase(show, order.locked)));
    case 'close':
      await stock.close(show);
      return [];
  }
}

async function purchase(show: string, locked: boolean): Promise<Purchase> {
  const start = performance.now();
  let ticket: Ticket | undefined;
  try {
    ticket = await (locked ? tickets.buy(show) : tickets.buyUnlocked(show));
  } catch (error) {
    if (!(error instanceof HttpException)) throw error;
  }
  return { ticket, waited: performance.now() - start };
}

process.on('message', (order: Order) => {
  void carryOut(order).then((purchases) => process.send?.(purchases));
});
// The parent is done, or gone.
process.once('disconnect', () => void app.close());
process.send?.('ready');
