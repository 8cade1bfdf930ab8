import { Chain, type Link } from '../structures/chain.js';
import { Alarm, Deadline } from '../time/clock.js';
import { timers } from '../time/timers.js';

/** Leases in one round: few enough that the call that renews them does not hold up others at the backend. */
export const ROUND = 500;

/** Who is renewed with others. */
export interface Traveller {
  /** Its round has come. Until `patience` is over the renewal is waited for before the next one. */
  due(patience: Deadline): void;
}

interface Round {
  readonly due: Deadline;
  readonly travellers: Chain<Traveller>;
  readonly alarm: Alarm;
}

/**
 * When the leases of one ttl are renewed: each a third of it after it came, or up to a thirtieth
 * earlier, to travel with those before it: to join and to leave costs next to nothing, as most locks
 * are given back long before their round.
 */
export class Rounds {
  /** In the order in which they fall due; a round may outlast who travels with it. */
  readonly #rounds: Round[] = [];
  readonly #period: number;

  /** @param whenEmpty called when nobody travels any more: then it is over */
  constructor(
    ttl: number,
    private readonly whenEmpty: () => void,
  ) {
    this.#period = ttl / 3;
  }

  /** Returns its place in a round, which it may leave at any time. */
  join(traveller: Traveller): Link<Traveller> {
    timers.lookAfterTimer();
    const round = this.#roundFor(1) ?? this.#begin(Deadline.in(this.#period), new Chain());
    return round.travellers.add(traveller);
  }

  close(): void {
    for (const { alarm } of this.#rounds) alarm.off();
  }

  /** The last round, if so many can still travel with it. */
  #roundFor(more: number): Round | undefined {
    const last = this.#rounds.at(-1);
    if (last === undefined || last.travellers.length + more > ROUND) return undefined;
    return last.due.remaining < 0.9 * this.#period ? undefined : last;
  }

  #begin(due: Deadline, travellers: Chain<Traveller>): Round {
    const alarm = new Alarm(due, () => {
      this.#rounds.splice(this.#rounds.indexOf(round), 1);
      this.#travel(travellers);
      if (this.#rounds.length === 0) this.whenEmpty();
    });
    const round = { due, travellers, alarm };
    this.#rounds.push(round);
    return round;
  }

  /** They travel now, and then again, with those who have just done so if they are few. */
  #travel(travellers: Chain<Traveller>): void {
    const again = Deadline.in(this.#period);
    for (const traveller of travellers) traveller.due(again);
    const company = this.#roundFor(travellers.length);
    if (company !== undefined) company.travellers.takeOver(travellers);
    else if (travellers.length > 0) this.#begin(again, travellers);
  }
}
