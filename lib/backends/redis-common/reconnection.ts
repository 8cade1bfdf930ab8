import { Deadline, pause } from '../../time/clock.js';
import { giveUp, type RedisClient } from './redis-client.js';

/** The longest pause before the next connection to a server that turned out not to be the master, in milliseconds. */
const LONGEST_PAUSE = 1_000;

/** Has a connection made anew: once, however many find that it must be. */
export class Reconnection {
  #leaving = false;
  #waiting = false;
  #pause = 0;
  /** By then nobody has said that it was not the master. */
  #calm = Deadline.in(0);

  constructor(private readonly client: RedisClient) {
    client.on('close', () => {
      this.#leaving = false;
    });
  }

  /** The server is silent. */
  now(): void {
    this.#leave(() => {
      giveUp(this.client);
    });
  }

  /** The server is not the master: later each time, as the address may lead to it for long. */
  async elsewhere(): Promise<void> {
    if (this.#leaving || this.#waiting) return;
    this.#waiting = true;
    this.#pause = this.#calm.passed ? 0 : Math.min(2 * this.#pause + 50, LONGEST_PAUSE);
    if (this.#pause > 0) await pause(this.#pause);
    this.#waiting = false;
    this.#calm = Deadline.in(5 * LONGEST_PAUSE);
    if (this.client.status !== 'ready') return;
    this.#leave(() => {
      this.client.disconnect(true);
    });
  }

  #leave(disconnect: () => void): void {
    if (this.#leaving) return;
    this.#leaving = true;
    disconnect();
  }
}
