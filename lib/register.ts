/**
 * What belongs to the requests of one process, by their ids `process id:counter`. In the order of
 * their counters; for why it is no Map see Chain.
 */
export class Register<T extends { readonly id: string }> {
  #entries = empty<T>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find(id: string): T | undefined {
    const entry = this.#entries[counterOf(id)];
    return entry?.id === id ? entry : undefined;
  }

  add(entry: T): void {
    const counter = counterOf(entry.id);
    if (this.#entries[counter] === undefined) this.#size++;
    this.#entries[counter] = entry;
  }

  delete(id: string): void {
    const counter = counterOf(id);
    if (this.#entries[counter]?.id !== id) return;
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- it is what this is for
    delete this.#entries[counter];
    this.#size--;
  }

  clear(): void {
    this.#entries = empty<T>();
    this.#size = 0;
  }

  /** Those that are in it now, whatever is added and deleted meanwhile. */
  values(): T[] {
    return Object.values(this.#entries).filter((entry) => entry !== undefined);
  }
}

function counterOf(id: string): number {
  return Number(id.slice(id.indexOf(':') + 1));
}

/** A number far from the others makes V8 keep them as a hash table, and not as an array with holes. */
function empty<T>(): Record<number, T | undefined> {
  const entries = Object.create(null) as Record<number, T | undefined>;
  entries[2 ** 31] = undefined;
  return entries;
}
