import type { Deadline } from '../../clock.js';
import type { Grant, LockRequest } from '../lock-backend.js';

/** What this process knows of one request, until nothing of it can be left at the server. */
export class RedisRequest {
  /** The grant, however it came: by a reply, by a message, or found by a heartbeat. */
  readonly granted: Promise<Grant>;
  readonly #grant: (grant: Grant) => void;
  readonly #refuse: (error: unknown) => void;
  #settled = false;

  /** Nobody wants it any more: it was withdrawn, or its lease is being given back. */
  over = false;
  /** Whether anything of it ever left this process. */
  sent = false;
  /** Until when the server may still run what was sent and not answered. */
  unanswered: Deadline | undefined;
  /** Whether the server said that it stands in the queue: only then it has a heartbeat. */
  queued = false;
  /** When the lock is free if its holder died, and this request looks. */
  free: Deadline | undefined;

  constructor(readonly asked: LockRequest) {
    let grant!: (grant: Grant) => void;
    let refuse!: (error: unknown) => void;
    this.granted = new Promise((resolve, reject) => {
      grant = resolve;
      refuse = reject;
    });
    // Whoever waits for it hears of it; when nobody does, it is nobody's concern.
    this.granted.catch(() => undefined);
    this.#grant = grant;
    this.#refuse = refuse;
  }

  get id(): string {
    return this.asked.id;
  }

  /** Whether a try of it that was not answered may still run at the server. */
  get mayStillRun(): boolean {
    return this.unanswered?.passed === false;
  }

  /**
   * Whether there is nothing to ask for any more. A method, as it changes while others are awaited,
   * which the compiler does not see of a getter.
   */
  isSettled(): boolean {
    return this.#settled || this.over;
  }

  grant(grant: Grant): void {
    this.#settled = true;
    this.#grant(grant);
  }

  refuse(error: unknown): void {
    this.#settled = true;
    this.#refuse(error);
  }
}
