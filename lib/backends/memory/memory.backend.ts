import type { InspectOptionsStylized } from 'node:util';
import { PRINTED, printed } from '../../text/printed.js';
import type { BackendConnection, LockBackend, LockProcess } from '../lock-backend.js';
import { MemoryStore } from './memory-store.js';

/**
 * Locks within one process: the embedded default, and the reference of what a backend must do.
 * Services that are given the same instance see the same locks.
 */
export class MemoryBackend implements LockBackend {
  readonly name = 'memory';
  readonly minTtl = 10;
  readonly supports = { shared: true, limit: true };
  private readonly store = new MemoryStore();
  /** Those that are connected, by id. */
  private readonly processes = new Map<string, LockProcess>();

  connect(process: LockProcess): BackendConnection {
    const store = this.store;
    this.processes.set(process.id, process);
    return {
      troubleWith: () => undefined,
      acquire: (request) => store.acquire(request),
      // eslint-disable-next-line @typescript-eslint/require-await -- what the store throws is to reject
      acquireAll: async (requests) => store.acquireAll(requests),
      cancel: (request) => {
        store.cancel(request);
        return Promise.resolve();
      },
      renew: (leases) => Promise.resolve(leases.map((lease) => store.renew(lease))),
      release: (lease, keepFor) => store.release(lease, keepFor),
      downgrade: (lease) => Promise.resolve(store.downgrade(lease)),
      inspect: (key) => Promise.resolve(store.inspect(key)),
      // eslint-disable-next-line @typescript-eslint/require-await -- the contract is for stores that are asked page by page
      list: async function* (pattern) {
        yield* store.list(pattern);
      },
      revoke: (key, revocation) =>
        Promise.resolve(
          this.tell(store.holdersOf(key), (owner, id) => owner.revoked(id, revocation)),
        ),
      forceRelease: (key) =>
        Promise.resolve(this.tell(store.forceRelease(key), (owner, id) => owner.lost(id))),
      close: () => {
        this.processes.delete(process.id);
        store.leave(process.id);
        return Promise.resolve();
      },
    };
  }

  /** Tells the processes of these requests; how many requests there are. */
  private tell(ids: readonly string[], tell: (owner: LockProcess, id: string) => void): number {
    for (const id of ids) {
      const owner = this.processes.get(id.slice(0, id.indexOf(':')));
      if (owner !== undefined) tell(owner, id);
    }
    return ids.length;
  }

  /** @internal What is logged of it. */
  toJSON(): object {
    return { name: this.name };
  }

  /** @internal */
  [PRINTED](depth: number, options: InspectOptionsStylized): string {
    return printed('MemoryBackend', this.toJSON(), depth, options);
  }
}
