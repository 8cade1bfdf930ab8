import { Deadline } from '../../time/clock.js';

/** When the next heartbeat of a process is due: at one time for all its buckets, so that they travel together. */
export class Pulse {
  #next = Deadline.in(0);

  /** @param period between two of them, in milliseconds */
  constructor(private readonly period: number) {}

  next(): Deadline {
    if (this.#next.passed) this.#next = Deadline.in(this.period);
    return this.#next;
  }
}
