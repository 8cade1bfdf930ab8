import { Chain } from '../../structures/chain.js';
import { Alarm, type Deadline } from '../../time/clock.js';

/** Alarms that are called off together when what they are for ends. */
export class Alarms {
  readonly #pending = new Chain<Alarm>();

  /** Calls back once when the deadline has passed, never before; returns what calls it off. */
  set(deadline: Deadline, ring: () => void): () => void {
    const alarm = new Alarm(deadline, () => {
      this.#pending.remove(link);
      ring();
    });
    const link = this.#pending.add(alarm);
    return () => {
      alarm.off();
      this.#pending.remove(link);
    };
  }

  /** Calls all of them off. */
  clear(): void {
    for (const alarm of this.#pending) {
      alarm.off();
    }
  }
}
