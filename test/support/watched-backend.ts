import {
  type BackendConnection,
  type LockBackend,
  type LockProcess,
  type LockRequest,
  MemoryBackend,
} from 'nestjs-lock';

/** Real locks in memory, at a store that notes who asks, and takes leases away when a test says so. */
export class WatchedBackend implements LockBackend {
  readonly name = 'watched';
  readonly minTtl = 10;
  readonly asked: LockRequest[] = [];
  readonly #backend = new MemoryBackend();
  readonly #losses = new Map<string, () => void>();

  connect(process: LockProcess): BackendConnection {
    const connection = this.#backend.connect(process);
    return {
      ...connection,
      acquire: (request) => {
        this.asked.push(request);
        this.#losses.set(request.key, () => {
          process.lost(request.id);
        });
        return connection.acquire(request);
      },
    };
  }

  /** Tells who asked last for the key that its lease has ended. */
  lose(key: string): void {
    this.#losses.get(key)!();
  }
}
