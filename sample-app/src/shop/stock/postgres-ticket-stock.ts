import type { OnApplicationShutdown } from '@nestjs/common';
import type { Pool } from 'pg';
import { StaleTokenError, TicketStock } from './ticket-stock.js';

const TABLE = `
  CREATE TABLE IF NOT EXISTS ticket_shop_stock (
    show text PRIMARY KEY, left_over integer NOT NULL, fence bigint NOT NULL DEFAULT 0
  )`;

/** The stock of an application that runs as many processes: a row for each show. */
export class PostgresTicketStock extends TicketStock implements OnApplicationShutdown {
  private constructor(private readonly pool: Pool) {
    super();
  }

  /** @param pool from here on it belongs to the stock */
  static async connect(pool: Pool): Promise<PostgresTicketStock> {
    await pool.query(`SELECT pg_advisory_lock(hashtext('ticket-shop')); ${TABLE};
      SELECT pg_advisory_unlock(hashtext('ticket-shop'))`);
    return new PostgresTicketStock(pool);
  }

  override async open(show: string, tickets: number): Promise<void> {
    await this.pool.query(
      'INSERT INTO ticket_shop_stock (show, left_over) VALUES ($1, $2) ON CONFLICT DO NOTHING',
      [show, tickets],
    );
  }

  override async left(show: string): Promise<number> {
    const { rows } = await this.pool.query<{ left_over: number }>(
      'SELECT left_over FROM ticket_shop_stock WHERE show = $1',
      [show],
    );
    if (rows[0] === undefined) throw new Error(`${show} is not on sale`);
    return rows[0].left_over;
  }

  override async write(show: string, left: number): Promise<void> {
    await this.pool.query('UPDATE ticket_shop_stock SET left_over = $2 WHERE show = $1', [
      show,
      left,
    ]);
  }

  override async writeFenced(show: string, left: number, fencingToken: number): Promise<void> {
    const { rowCount } = await this.pool.query(
      'UPDATE ticket_shop_stock SET left_over = $2, fence = $3 WHERE show = $1 AND fence <= $3',
      [show, left, fencingToken],
    );
    if (rowCount === 0) throw new StaleTokenError(show, fencingToken);
  }

  override async close(show: string): Promise<void> {
    await this.pool.query('DELETE FROM ticket_shop_stock WHERE show = $1', [show]);
  }

  /** By then requests are answered, and sales that held a lock were let finish: nobody writes. */
  async onApplicationShutdown(): Promise<void> {
    await this.pool.end();
  }
}
