import assert from 'node:assert/strict';

/** The fencing tokens that the keys of a program gave. */
export class Tokens {
  readonly #last = new Map<number, number>();
  #fresh: [key: number, token: number][] = [];

  note(key: number, token: number): void {
    this.#fresh.push([key, token]);
  }

  /** Those since the last call are greater than all before; among themselves they only differ. */
  check(): void {
    for (const key of new Set(this.#fresh.map(([key]) => key))) {
      const tokens = this.#fresh.filter((fresh) => fresh[0] === key).map(([, token]) => token);
      const last = this.#last.get(key) ?? 0;
      assert.equal(new Set(tokens).size, tokens.length, `key ${key} gave a token twice`);
      assert.ok(Math.min(...tokens) > last, `key ${key} gave a token that is not greater`);
      this.#last.set(key, Math.max(...tokens));
    }
    this.#fresh = [];
  }
}
