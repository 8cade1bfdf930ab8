import { Cluster, Redis } from 'ioredis';
import type { Store } from '../../settings.js';
import { EtcdTicketStock } from './etcd-ticket-stock.js';
import { MemoryTicketStock } from './memory-ticket-stock.js';
import { RedisTicketStock } from './redis-ticket-stock.js';
import type { TicketStock } from './ticket-stock.js';

/** The stock, where the locks are. A quorum keeps locks only: its first node keeps the stock. */
export async function stockOf(store: Store): Promise<TicketStock> {
  switch (store.kind) {
    case 'memory':
      return new MemoryTicketStock();
    case 'redis':
    case 'redlock':
      return RedisTicketStock.connect(new Redis(store.urls[0] ?? '', { lazyConnect: true }));
    case 'cluster':
      return RedisTicketStock.connect(new Cluster([...store.urls], { lazyConnect: true }));
    case 'etcd':
      return EtcdTicketStock.connect(store.hosts);
  }
}
