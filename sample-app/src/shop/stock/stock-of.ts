import type { Store } from '../../settings.js';
import { MemoryTicketStock } from './memory-ticket-stock.js';
import { RedisTicketStock } from './redis-ticket-stock.js';
import type { TicketStock } from './ticket-stock.js';

/** The stock, where the locks are. A quorum keeps locks only: its first node keeps the stock. */
export async function stockOf(store: Store): Promise<TicketStock> {
  switch (store.kind) {
    case 'memory':
      return new MemoryTicketStock();
    case 'redis':
    case 'redlock': {
      const { Redis } = await import('ioredis');
      const redis = new Redis(store.urls[0] ?? '', { lazyConnect: true });
      return RedisTicketStock.connect(redis);
    }
    case 'cluster': {
      const { Cluster } = await import('ioredis');
      const cluster = new Cluster([...store.urls], { lazyConnect: true });
      return RedisTicketStock.connect(cluster);
    }
    case 'etcd': {
      const { EtcdTicketStock } = await import('./etcd-ticket-stock.js');
      return EtcdTicketStock.connect(store.hosts);
    }
    case 'postgres': {
      const { default: pg } = await import('pg');
      const { PostgresTicketStock } = await import('./postgres-ticket-stock.js');
      return PostgresTicketStock.connect(new pg.Pool({ connectionString: store.urls[0] ?? '' }));
    }
  }
}
