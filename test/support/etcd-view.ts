import type { Etcd3 } from 'etcd3';
import { eventually } from './eventually.js';

/** One who holds a lock or waits for it, in the order in which they came. */
export interface EtcdMemberView {
  readonly name: string;
  readonly lease: string;
  readonly created: string;
  readonly modified: string;
}

/** What stands at the server, read past the library. */
export class EtcdView {
  constructor(
    private readonly client: Etcd3,
    private readonly namespace = 'nestjs-lock',
  ) {}

  async members(key: string): Promise<EtcdMemberView[]> {
    const { kvs } = await this.client
      .getAll()
      .prefix(`${this.namespace}/${key}/`)
      .sort('Create', 'Ascend')
      .exec();
    return kvs.map(({ key: name, lease, create_revision: created, mod_revision: modified }) => ({
      name: name.toString(),
      lease,
      created,
      modified,
    }));
  }

  /** Waits until so many wait behind a holder. */
  async queued(key: string, count: number): Promise<void> {
    await eventually(
      `${count} waiting for ${key}`,
      async () => (await this.members(key)).length === count + 1,
    );
  }

  /** Waits until nothing stands there for the key. */
  async untouched(key: string): Promise<void> {
    await eventually(`nothing left of ${key}`, async () => (await this.members(key)).length === 0);
  }

  /** Revokes the lease that the first member is on. */
  async revoke(key: string): Promise<void> {
    const [first] = await this.members(key);
    await this.client.leaseClient.leaseRevoke({ ID: first!.lease });
  }

  async leases(): Promise<string[]> {
    const { leases } = await this.client.leaseClient.leaseLeases();
    return leases.map(({ ID }) => ID);
  }

  /** How many keys there are in all. */
  async count(): Promise<number> {
    return this.client.getAll().count();
  }
}
