import { nextTick } from 'node:process';

/**
 * So many requests in a call: few enough that the server runs one call while the client writes the
 * next, and that it does not hold up others.
 */
const MOST = 32;

/**
 * Gathers what is asked in one turn of the event loop, so that it travels as one request: what a
 * client does for each command costs more than what the server does for each lock.
 */
export class Batch<Asked> {
  #gathered: Asked[] = [];

  /** @param send sends those that it is given, and tells each what came of it */
  constructor(private readonly send: (asked: readonly Asked[]) => void) {}

  add(asked: Asked): void {
    // After all that is settled in this turn has had its say.
    if (this.#gathered.push(asked) === 1) nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    const gathered = this.#gathered;
    this.#gathered = [];
    if (gathered.length <= MOST) {
      this.send(gathered);
      return;
    }
    for (let first = 0; first < gathered.length; first += MOST) {
      this.send(gathered.slice(first, first + MOST));
    }
  };
}
