import { alarm, type Deadline } from '../../clock.js';

interface Pending {
  readonly deadline: Deadline;
  readonly ring: () => void;
}

/**
 * Many alarms on one timer: for what is nearly always called off before it is due, which then costs
 * next to nothing. They do not keep the process from exiting.
 */
export class Alarms {
  readonly #pending = new Set<Pending>();
  /** When the timer rings. */
  #next: Deadline | undefined;
  #disarm: () => void = () => undefined;

  /** Calls back once when the deadline has passed, never before; returns what calls it off. */
  set(deadline: Deadline, ring: () => void): () => void {
    const one = { deadline, ring };
    this.#pending.add(one);
    if (this.#next === undefined || deadline.remaining < this.#next.remaining) this.#arm(deadline);
    return () => {
      this.#pending.delete(one);
    };
  }

  /** Calls all of them off. */
  clear(): void {
    this.#pending.clear();
    this.#disarm();
    this.#next = undefined;
  }

  #arm(deadline: Deadline): void {
    this.#disarm();
    this.#next = deadline;
    this.#disarm = alarm(deadline, () => {
      this.#ring();
    });
  }

  #ring(): void {
    const due: Pending[] = [];
    let next: Deadline | undefined;
    for (const one of this.#pending) {
      if (one.deadline.passed) due.push(one);
      else if (next === undefined || one.deadline.remaining < next.remaining) next = one.deadline;
    }
    this.#next = undefined;
    if (next !== undefined) this.#arm(next);
    for (const one of due) {
      // Another of them may have called it off.
      if (this.#pending.delete(one)) one.ring();
    }
  }
}
