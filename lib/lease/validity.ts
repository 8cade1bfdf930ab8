import { Deadline, DRIFT, type Instant } from '../time/clock.js';

/** Until when a lease that the backend granted or renewed for `ttl` may be believed in. */
export function validUntil(since: Instant, ttl: number): Deadline {
  return new Deadline(since, ttl - margin(ttl));
}

/** How much of a ttl is given up for clocks that run at slightly different rates. */
function margin(ttl: number): number {
  return Math.max(2, DRIFT * ttl);
}
