import { setImmediate as latency } from 'node:timers/promises';
import { StaleTokenError, TicketStock } from './ticket-stock.js';

interface Row {
  left: number;
  /** The largest fencing token that has written. */
  fence: number;
}

/**
 * The stock of an application that runs as one process. Like any store it answers a little later,
 * and that is all it takes to oversell.
 */
export class MemoryTicketStock extends TicketStock {
  readonly #rows = new Map<string, Row>();

  override async open(show: string, tickets: number): Promise<void> {
    await latency();
    if (!this.#rows.has(show)) this.#rows.set(show, { left: tickets, fence: 0 });
  }

  override async left(show: string): Promise<number> {
    await latency();
    return this.#row(show).left;
  }

  override async write(show: string, left: number): Promise<void> {
    await latency();
    this.#row(show).left = left;
  }

  override async writeFenced(show: string, left: number, fencingToken: number): Promise<void> {
    await latency();
    const row = this.#row(show);
    if (fencingToken < row.fence) throw new StaleTokenError(show, fencingToken);
    row.left = left;
    row.fence = fencingToken;
  }

  override async close(show: string): Promise<void> {
    await latency();
    this.#rows.delete(show);
  }

  #row(show: string): Row {
    const row = this.#rows.get(show);
    if (row === undefined) throw new Error(`${show} is not on sale`);
    return row;
  }
}
