import { nextTick } from 'node:process';

/** Few enough requests for a call that does not hold up the others at the server. */
const MOST = 128;

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
