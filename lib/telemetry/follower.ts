import type { LockState } from '../interfaces/index.js';

/**
 * Where a subscriber of a request's `start` leaves who is to follow it. For this package's own
 * subscribers.
 */
export const FOLLOWER = Symbol.for('nestjs-lock:follower');

export interface Follower {
  /** Of the span of who asks, as the W3C's Trace Context writes it: goes to the store with the request. */
  readonly traceparent: string | undefined;
  /**
   * Others hold the key; told as often as that is heard. Must not throw.
   * @param look asks the store who they are
   */
  waits(key: string, look: () => Promise<LockState>): void;
}

export interface Followed {
  [FOLLOWER]?: Follower;
}
