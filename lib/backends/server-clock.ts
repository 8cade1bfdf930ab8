import { DRIFT, Instant } from '../time/clock.js';

/** How old what is known may be, in milliseconds: the server's clock may have been set meanwhile. */
const FRESH = 2_000;

/**
 * What this process knows of the server's clock: the server's time in a reply, and the local moments
 * before the request and after the reply. What is read off it errs towards the safe side: a lease
 * began earlier, a request is void sooner.
 */
export class ServerClock {
  #before: Instant | undefined;
  #after: Instant | undefined;
  #server = 0;

  learn(before: Instant, server: number): void {
    this.#before = before;
    this.#after = Instant.now();
    this.#server = server;
  }

  /** Another server may have another clock. */
  forget(): void {
    this.#before = undefined;
    this.#after = undefined;
  }

  get known(): boolean {
    return this.#before !== undefined;
  }

  /**
   * A local moment that is surely not after the server's clock showed `server`; undefined when
   * nothing is known, or nothing fresh, or when the server's clock was set forward in between.
   */
  momentOf(server: number): Instant | undefined {
    if (this.#before === undefined || this.#before.elapsed > FRESH) return undefined;
    // Both times are whole milliseconds: the last one may have been almost two of them ago.
    const since = server - this.#server;
    const moment = this.#before.plus(since - DRIFT * Math.max(since, 0) - 1);
    return moment.elapsed < 0 ? undefined : moment;
  }

  /** What the server's clock surely shows in so many milliseconds; undefined while nothing is known. */
  timeIn(ms: number): number | undefined {
    return this.#after && Math.floor(this.#server + this.#after.elapsed + ms);
  }
}
