/** A value's place in a {@link Chain}. */
export interface Link<T> {
  readonly value: T;
  /** @internal */
  before: Link<T> | undefined;
  /** @internal */
  behind: Link<T> | undefined;
  /** @internal */
  linked: boolean;
}

/**
 * Values in the order in which they came, each of which can leave at any time.
 *
 * Not a Set, nor a {@link Register} a Map: those replace their table again and again while values
 * come and go. An old table that V8 has promoted keeps the next one alive with all that it ever
 * held, so that whatever passed through survived until the next major collection: three quarters
 * of all that a lock allocates.
 */
export class Chain<T> implements Iterable<T> {
  #first: Link<T> | undefined;
  #last: Link<T> | undefined;
  #length = 0;

  get first(): Link<T> | undefined {
    return this.#first;
  }

  get length(): number {
    return this.#length;
  }

  add(value: T): Link<T> {
    const link: Link<T> = { value, before: this.#last, behind: undefined, linked: true };
    if (this.#last === undefined) this.#first = link;
    else this.#last.behind = link;
    this.#last = link;
    this.#length++;
    return link;
  }

  /** May be called again. */
  remove(link: Link<T>): void {
    if (!link.linked) return;
    const { before, behind } = link;
    link.linked = false;
    if (before === undefined) this.#first = behind;
    else before.behind = behind;
    if (behind === undefined) this.#last = before;
    else behind.before = before;
    this.#length--;
  }

  /** Those that are in it now, whoever leaves meanwhile. */
  [Symbol.iterator](): Iterator<T> {
    const values: T[] = [];
    for (let link = this.#first; link !== undefined; link = link.behind) values.push(link.value);
    return values.values();
  }
}
