import { Instant } from '../../clock.js';

/**
 * What this process knows of the server's clock: a local moment before a request, and the server's
 * time in its reply. The server's time came later than that moment; so everything that is read off
 * this pair errs towards "earlier", which is the safe side for a lease.
 */
export class ServerClock {
  #before: Instant | undefined;
  #server = 0;

  learn(before: Instant, server: number): void {
    this.#before = before;
    this.#server = server;
  }

  /** A local moment that is surely not after the server's clock showed `server`. */
  momentOf(server: number): Instant {
    const now = Instant.now();
    if (this.#before === undefined) return now;
    const moment = this.#before.plus(server - this.#server);
    // In the future only if the server's clock was set forward in between.
    return moment.elapsed < 0 ? now : moment;
  }

  /** What the server's clock shows at most in so many milliseconds; undefined while nothing is known. */
  timeIn(ms: number): number | undefined {
    return this.#before && Math.ceil(this.#server + this.#before.elapsed + ms);
  }
}
