import { nextTick } from 'node:process';

/** So many calls at once: others need connections of the pool as well. */
const LANES = 3;

/** So many requests in a call: few enough that those at the end of it do not wait for long. */
const MOST = 64;

/**
 * Gathers what is asked while calls are under way, so that it travels as one, and is one transaction: each
 * of them waits for the server's disk.
 */
export class Batch<Asked> {
  #gathered: Asked[] = [];
  #underWay = 0;
  #planned = false;

  /** @param send sends those that it is given, and tells each what came of it; never rejects */
  constructor(private readonly send: (asked: readonly Asked[]) => Promise<void>) {}

  add(asked: Asked): void {
    this.#gathered.push(asked);
    this.#plan();
  }

  #plan(): void {
    if (this.#planned || this.#underWay === LANES) return;
    this.#planned = true;
    // After all that is settled in this turn has had its say.
    nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    this.#planned = false;
    while (this.#gathered.length > 0 && this.#underWay < LANES) {
      this.#underWay++;
      void this.send(this.#gathered.splice(0, MOST)).then(() => {
        this.#underWay--;
        if (this.#gathered.length > 0) this.#plan();
      });
    }
  };
}
