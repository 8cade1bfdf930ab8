import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { Cluster, Redis } from 'ioredis';
import { StaleTokenError, TicketStock } from './ticket-stock.js';

/** Compares and writes in one step. Smaller than the last token seen: refused. */
const WRITE_FENCED = `
  local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or 0)
  if tonumber(ARGV[2]) < fence then return 0 end
  redis.call('HSET', KEYS[1], 'left', ARGV[1], 'fence', ARGV[2])
  return 1
`;

/** The stock of an application that runs as many processes: a hash for each show. */
export class RedisTicketStock extends TicketStock implements OnApplicationShutdown {
  readonly #logger = new Logger(RedisTicketStock.name);

  private constructor(private readonly redis: Redis | Cluster) {
    super();
    redis.on('error', (error: Error) => {
      this.#logger.error(error.message);
    });
  }

  /** @param redis not yet connected; from here on it belongs to the stock */
  static async connect(redis: Redis | Cluster): Promise<RedisTicketStock> {
    const stock = new RedisTicketStock(redis);
    await redis.connect();
    return stock;
  }

  override async open(show: string, tickets: number): Promise<void> {
    await this.redis.hsetnx(key(show), 'left', tickets);
  }

  override async left(show: string): Promise<number> {
    const left = await this.redis.hget(key(show), 'left');
    if (left === null) throw new Error(`${show} is not on sale`);
    return Number(left);
  }

  override async write(show: string, left: number): Promise<void> {
    await this.redis.hset(key(show), 'left', left);
  }

  override async writeFenced(show: string, left: number, fencingToken: number): Promise<void> {
    const written = await this.redis.eval(WRITE_FENCED, 1, key(show), left, fencingToken);
    if (written === 0) throw new StaleTokenError(show, fencingToken);
  }

  override async close(show: string): Promise<void> {
    await this.redis.del(key(show));
  }

  /** By then requests are answered, and sales that held a lock were let finish: nobody writes. */
  async onApplicationShutdown(): Promise<void> {
    await this.redis.quit();
  }
}

function key(show: string): string {
  return `ticket-shop:stock:${show}`;
}
