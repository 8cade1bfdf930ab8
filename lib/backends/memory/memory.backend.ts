import type { BackendConnection, LockBackend, LockProcess } from '../lock-backend.js';
import { MemoryStore } from './memory-store.js';

/**
 * Locks within one process: the embedded default, and the reference of what a backend must do.
 * Services that are given the same instance see the same locks.
 */
export class MemoryBackend implements LockBackend {
  readonly name = 'memory';
  readonly minTtl = 10;
  readonly #store = new MemoryStore();

  connect(process: LockProcess): BackendConnection {
    const store = this.#store;
    return {
      troubleWith: () => undefined,
      acquire: (request) => store.acquire(request),
      cancel: (request) => {
        store.cancel(request);
        return Promise.resolve();
      },
      renew: (leases) => Promise.resolve(leases.map((lease) => store.renew(lease))),
      release: (lease) => store.release(lease),
      inspect: (key) => Promise.resolve(store.inspect(key)),
      close: () => {
        store.leave(process.id);
        return Promise.resolve();
      },
    };
  }
}
