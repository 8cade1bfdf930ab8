import type { Instant } from '../../clock.js';

/**
 * What this process knows of the server's clock: a local moment before a request, and the server's
 * time in its reply. The server's time came later than that moment; so every moment that is read
 * off this pair errs towards "earlier", which is the safe side for a lease.
 */
export class ServerClock {
  #before: Instant | undefined;
  #server = 0;

  learn(before: Instant, server: number): void {
    this.#before = before;
    this.#server = server;
  }

  /** Another server may have another clock. */
  forget(): void {
    this.#before = undefined;
  }

  /**
   * A local moment that is surely not after the server's clock showed `server`; undefined when
   * nothing is known, or when the server's clock was set forward in between.
   */
  momentOf(server: number): Instant | undefined {
    // Both times are whole milliseconds: the last one may have been almost two of them ago.
    const moment = this.#before?.plus(server - this.#server - 1);
    return moment === undefined || moment.elapsed < 0 ? undefined : moment;
  }

  /** What the server's clock shows at most in so many milliseconds; undefined while nothing is known. */
  timeIn(ms: number): number | undefined {
    return this.#before && Math.ceil(this.#server + 1 + this.#before.elapsed + ms);
  }
}
