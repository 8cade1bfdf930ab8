/** Counters in a chunk: so few, as it is kept as long as one of them is in it. */
const CHUNK = 32;

interface Chunk<T> {
  readonly number: number;
  readonly entries: (T | undefined)[];
  used: number;
}

/**
 * What belongs to the requests of one process, by their ids, which end with a counter. In the order of
 * their counters, which mostly come and go close to each other: so it is many small arrays, which cost
 * less than an object by counter. For why it is no Map see Chain.
 */
export class Register<T extends { readonly id: string }> {
  readonly #chunks = new Map<number, Chunk<T>>();
  /** Where the last one was added. It stays when it is empty. */
  #last: Chunk<T> = { number: -1, entries: [], used: 0 };
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find(id: string): T | undefined {
    if (this.#size === 0) return undefined;
    const counter = counterOf(id);
    const entry = this.#chunkOf(counter)?.entries[counter % CHUNK];
    return entry?.id === id ? entry : undefined;
  }

  add(entry: T): void {
    const counter = counterOf(entry.id);
    const chunk = this.#chunkOf(counter) ?? this.#begin(counter);
    const place = counter % CHUNK;
    if (chunk.entries[place] === undefined) {
      chunk.used++;
      this.#size++;
    }
    chunk.entries[place] = entry;
  }

  delete(id: string): void {
    if (this.#size === 0) return;
    const counter = counterOf(id);
    const chunk = this.#chunkOf(counter);
    const place = counter % CHUNK;
    if (chunk?.entries[place]?.id !== id) return;
    chunk.entries[place] = undefined;
    chunk.used--;
    this.#size--;
    if (chunk !== this.#last) this.#tidy(chunk);
  }

  clear(): void {
    this.#chunks.clear();
    this.#last = { number: -1, entries: [], used: 0 };
    this.#size = 0;
  }

  /** Those that are in it now, whatever is added and deleted meanwhile. */
  values(): T[] {
    const chunks = [...this.#chunks.values()].sort((one, other) => one.number - other.number);
    return chunks.flatMap(({ entries }) => entries.filter((entry) => entry !== undefined));
  }

  #chunkOf(counter: number): Chunk<T> | undefined {
    const number = Math.floor(counter / CHUNK);
    return number === this.#last.number ? this.#last : this.#chunks.get(number);
  }

  #begin(counter: number): Chunk<T> {
    const number = Math.floor(counter / CHUNK);
    const entries = new Array<T | undefined>(CHUNK).fill(undefined);
    const before = this.#last;
    this.#last = { number, entries, used: 0 };
    this.#chunks.set(number, this.#last);
    this.#tidy(before);
    return this.#last;
  }

  #tidy({ number, used }: Chunk<T>): void {
    if (used === 0) this.#chunks.delete(number);
  }
}

/** The last id that was read: each is read several times in a row. */
let [lastId, lastCounter] = ['', 0];

function counterOf(id: string): number {
  if (id === lastId) return lastCounter;
  let [counter, unit] = [0, 1];
  for (let index = id.length - 1; ; index--) {
    const digit = id.charCodeAt(index) - 48;
    if (!(digit >= 0 && digit <= 9)) break;
    counter += digit * unit;
    unit *= 10;
  }
  [lastId, lastCounter] = [id, counter];
  return counter;
}
