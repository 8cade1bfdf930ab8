import type { LeaderTerm } from '../interfaces/index.js';
import type { LockHandle } from '../lock/lock-handle.js';

/** Runs a body as one more holder of the lock, which is in its async context. */
export type RunUnder = <T>(lock: LockHandle, body: () => Promise<T> | T) => Promise<T>;

/** From an election until the lock is given back: no body begins in a term that ends, and none outlives it. */
export class Term {
  #ending = false;
  readonly #bodies = new Set<Promise<unknown>>();
  #end: () => void = () => undefined;
  /** Resolves when somebody asks for it, or its signal does. */
  readonly #asked: Promise<void>;

  constructor(
    private readonly handle: LockHandle,
    private readonly runUnder: RunUnder,
  ) {
    this.#asked = new Promise((resolve) => {
      this.#end = resolve;
    });
    const { signal } = handle;
    if (signal.aborted) this.end();
    else signal.addEventListener('abort', this.end, { once: true });
  }

  get lock(): LeaderTerm {
    return this.handle;
  }

  /** Whether the process surely leads, and goes on to do so. */
  get leads(): boolean {
    return !this.#ending && this.handle.held && !this.handle.signal.aborted;
  }

  /** To be called while it {@link leads}. */
  async run<T>(body: (term: LeaderTerm) => Promise<T> | T): Promise<T> {
    const running = this.runUnder(this.handle, () => body(this.lock));
    this.#bodies.add(running);
    try {
      const result = await running;
      this.handle.assertHeld();
      return result;
    } finally {
      this.#bodies.delete(running);
    }
  }

  /** From now on no body begins; {@link serve} resolves when those that run have settled. */
  readonly end = (): void => {
    this.#ending = true;
    this.#end();
  };

  /** Until it has ended, and its lock is given back. Never rejects. */
  async serve(): Promise<void> {
    await this.#asked;
    await Promise.allSettled(this.#bodies);
    await this.handle.release();
  }
}
