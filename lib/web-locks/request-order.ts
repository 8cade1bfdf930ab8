import { within } from '../time/clock.js';
import type { LockMode } from '../interfaces/index.js';

/** Nobody is kept waiting by those before it for longer, whatever becomes of them; in milliseconds. */
const PATIENCE = 1_000;

/** One request among those of its manager. */
export interface Place {
  /** It is known that others hold the lock: it has to wait. */
  wait(): void;
  /** Its callback is called, or it is refused. */
  leave(): void;
  /** Settled when it did either. */
  readonly there: Promise<unknown>;
  /** Settled when those that were made before are there. Undefined when there are none. */
  readonly before: Promise<unknown> | undefined;
  /** Settled when, besides, the reader of its name before it was called back. */
  turn(): Promise<unknown> | undefined;
}

/** The order in which requests were made, which stores need not answer in. */
export class RequestOrder {
  #last: Promise<unknown> | undefined;
  /** The last reader of each name. */
  readonly #readers = new Map<string, Promise<unknown>>();

  /** Settled when all requests that were made by now are there. */
  get there(): Promise<unknown> | undefined {
    return this.#last;
  }

  join(name: string, mode: LockMode): Place {
    let wait!: () => void;
    let leave!: () => void;
    const waiting = new Promise<void>((resolve) => (wait = resolve));
    const left = new Promise<void>((resolve) => (leave = resolve));
    const before = this.#last;
    const reader = mode === 'shared' ? this.#readers.get(name) : undefined;
    const turn = () => (reader ? both(before, within(PATIENCE, reader)) : before);

    const there = within(PATIENCE, Promise.race([waiting, left]));
    const last = both(before, there);
    this.#last = last;
    void last.then(() => {
      if (this.#last === last) this.#last = undefined;
    });
    if (mode === 'shared') this.#lastReader(name, left);
    return { wait, leave, there, before, turn };
  }

  #lastReader(name: string, left: Promise<void>): void {
    this.#readers.set(name, left);
    void left.then(() => {
      if (this.#readers.get(name) === left) this.#readers.delete(name);
    });
  }
}

/** Settled when both are, of which the first need not be. */
async function both(one: Promise<unknown> | undefined, other: Promise<unknown>): Promise<void> {
  await one;
  await other;
}
