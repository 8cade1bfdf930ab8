import {
  type Answer,
  type BackendConnection,
  type LockBackend,
  type LockProcess,
  type LockRequest,
  MemoryBackend,
} from 'nestjs-lock';
import { pending } from './scripted-backend.js';

/** A step at one key that is not answered until the test says so. */
export interface Stall {
  /** Resolves when somebody asks for it. */
  readonly asked: Promise<unknown>;
  /** Answers who asked meanwhile, and everybody who asks later. */
  readonly end: () => void;
}

/**
 * Real locks in memory, at a store that notes who asks, and takes leases away or leaves steps
 * unanswered when a test says so.
 */
export class WatchedBackend implements LockBackend {
  readonly name = 'watched';
  readonly minTtl = 10;
  readonly supports = { shared: true, limit: true };
  readonly asked: LockRequest[] = [];
  readonly #backend = new MemoryBackend();
  readonly #losses = new Map<string, () => void>();
  readonly #stalls = new Map<
    string,
    Stall & { readonly tell: () => void; readonly over: Promise<unknown> }
  >();

  connect(process: LockProcess): BackendConnection {
    const connection = this.#backend.connect(process);
    return {
      ...connection,
      acquireAll: undefined,
      acquire: (request) => {
        this.asked.push(request);
        this.#losses.set(request.key, () => {
          process.lost(request.id);
        });
        return this.#step<Answer>('acquire', request.key, () => connection.acquire(request));
      },
      release: (lease, keepFor) =>
        this.#step('release', lease.key, () => connection.release(lease, keepFor)),
    };
  }

  /** Tells who asked last for the key that its lease has ended. */
  lose(key: string): void {
    this.#losses.get(key)!();
  }

  stall(step: 'acquire' | 'release', key: string): Stall {
    const name = `${step} ${key}`;
    const [asked, over] = [pending<undefined>(), pending<undefined>()];
    const stall = {
      asked: asked.promise,
      tell: () => {
        asked.resolve(undefined);
      },
      over: over.promise,
      end: () => {
        this.#stalls.delete(name);
        over.resolve(undefined);
      },
    };
    this.#stalls.set(name, stall);
    return stall;
  }

  /** So that nobody who closes has to wait for one. */
  endStalls(): void {
    for (const stall of this.#stalls.values()) stall.end();
  }

  #step<T>(step: string, key: string, work: () => T | Promise<T>): T | Promise<T> {
    const stall = this.#stalls.get(`${step} ${key}`);
    if (stall === undefined) return work();
    stall.tell();
    return stall.over.then(work);
  }
}
