import type { Queue } from './keyspace.js';

/** Whose numbers a name counts among, and which one it has. */
interface Given {
  readonly stem: string;
  readonly n: number;
}

/**
 * Names for the members of queues. A name is given again as soon as that is safe: the server keeps
 * each name that ever was until its history is compacted, and passes over all of a queue's at every
 * acquire.
 */
export class EtcdNames {
  /** The numbers of those that may be at the server, by all that goes before the number. */
  readonly #inUse = new Map<string, Set<number>>();
  readonly #given = new WeakMap<Buffer, Given>();
  /** Those before are not given any more. */
  #least = 1;

  take(queue: Queue, lease: string): Buffer {
    const stem = queue.stemOf(lease);
    let numbers = this.#inUse.get(stem);
    if (numbers === undefined) this.#inUse.set(stem, (numbers = new Set()));
    let n = this.#least;
    while (numbers.has(n)) n++;
    numbers.add(n);
    const name = Buffer.from(stem + String(n));
    this.#given.set(name, { stem, n });
    return name;
  }

  /** Whether none of these is in use. */
  areFree(queue: Queue, lease: string): boolean {
    return !this.#inUse.has(queue.stemOf(lease));
  }

  /** It is not at the server, and nothing that was sent can bring it there, or remove what will be. */
  free(name: Buffer): void {
    const given = this.#given.get(name);
    if (given === undefined) return;
    this.#given.delete(name);
    const numbers = this.#inUse.get(given.stem);
    numbers?.delete(given.n);
    if (numbers?.size === 0) this.#inUse.delete(given.stem);
  }

  /** Nobody knows for sure what is to become of it: it is not given again, unless it was freed before. */
  spoil(name: Buffer): void {
    const given = this.#given.get(name);
    if (given === undefined) return;
    this.#least = Math.max(this.#least, given.n + 1);
    this.free(name);
  }
}
