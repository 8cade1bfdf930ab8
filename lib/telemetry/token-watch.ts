/** Of so many keys the last token is remembered. */
const MOST = 10_000;

/**
 * Sees whether fencing tokens rise. Of those that hold alone, as far as one process hears of them, and
 * of the keys that were used last.
 */
export class TokenWatch {
  /** By service and key, those that were used last at the end. */
  readonly #last = new Map<string, number>();

  /** How many of them are not above those that were seen before. */
  regressions(service: string, keys: readonly string[], tokens: readonly number[]): number {
    return keys.filter((key, index) => !this.#rises(`${service}:${key}`, tokens[index] ?? 0))
      .length;
  }

  #rises(key: string, token: number): boolean {
    const last = this.#last.get(key) ?? 0;
    this.#last.delete(key);
    this.#last.set(key, Math.max(last, token));
    if (this.#last.size > MOST) {
      const [oldest = ''] = this.#last.keys();
      this.#last.delete(oldest);
    }
    return token > last;
  }
}
