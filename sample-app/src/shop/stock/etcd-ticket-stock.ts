import type { OnApplicationShutdown } from '@nestjs/common';
import { Etcd3 } from 'etcd3';
import { StaleTokenError, TicketStock } from './ticket-stock.js';

/** The stock of an application whose locks are in etcd as well: two keys for each show. */
export class EtcdTicketStock extends TicketStock implements OnApplicationShutdown {
  private constructor(private readonly etcd: Etcd3) {
    super();
  }

  static async connect(hosts: readonly string[]): Promise<EtcdTicketStock> {
    const etcd = new Etcd3({ hosts: [...hosts] });
    await etcd.maintenance.status();
    return new EtcdTicketStock(etcd);
  }

  override async open(show: string, tickets: number): Promise<void> {
    await this.etcd
      .if(left(show), 'Create', '==', 0)
      .then(this.etcd.put(left(show)).value(tickets), this.etcd.put(fence(show)).value(digits(0)))
      .commit();
  }

  override async left(show: string): Promise<number> {
    const tickets = await this.etcd.get(left(show)).number();
    if (tickets === null) throw new Error(`${show} is not on sale`);
    return tickets;
  }

  override async write(show: string, tickets: number): Promise<void> {
    await this.etcd.put(left(show)).value(tickets);
  }

  /**
   * Where the lock is in the same etcd, `.and(...lock.guard())` says it even better: it succeeds
   * only while the lock is held. The token also works for a resource that is somewhere else.
   */
  override async writeFenced(show: string, tickets: number, fencingToken: number): Promise<void> {
    const { succeeded } = await this.etcd
      .if(fence(show), 'Value', '<', digits(fencingToken + 1))
      .then(
        this.etcd.put(left(show)).value(tickets),
        this.etcd.put(fence(show)).value(digits(fencingToken)),
      )
      .commit();
    if (!succeeded) throw new StaleTokenError(show, fencingToken);
  }

  override async close(show: string): Promise<void> {
    await this.etcd.delete().prefix(prefix(show));
  }

  /** By then requests are answered, and sales that held a lock were let finish: nobody writes. */
  onApplicationShutdown(): void {
    this.etcd.close();
  }
}

function prefix(show: string): string {
  return `ticket-shop-stock/${show}/`;
}

function left(show: string): string {
  return `${prefix(show)}left`;
}

function fence(show: string): string {
  return `${prefix(show)}fence`;
}

/** etcd compares values letter by letter. */
function digits(fencingToken: number): string {
  return String(fencingToken).padStart(16, '0');
}
