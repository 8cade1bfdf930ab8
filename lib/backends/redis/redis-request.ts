import type { Deadline } from '../../clock.js';
import type { Answer, Grant, LockRequest } from '../lock-backend.js';

/** What this process knows of one request, until nothing of it can be left at the server. */
export class RedisRequest {
  /** What is said to who asked: the grant, however it came, or that the request waits, or that it is in vain. */
  readonly answer: Promise<Answer>;
  #answer!: (answer: Answer) => void;
  #refuse!: (error: unknown) => void;
  /** Settles what was promised with the answer that it waits. */
  #granted: { resolve(grant: Grant): void; reject(error: unknown): void } | undefined;
  #settled = false;

  /** Nobody wants it any more: it was withdrawn, or its lease is being given back. */
  over = false;
  /** Whether anything of it ever left this process. */
  sent = false;
  /** Until when the server may still run what was sent and not answered. */
  unanswered: Deadline | undefined;
  /** The same of the tries before the last one. */
  #earlier: Deadline | undefined;
  /** Whether the server said that it stands in the queue: only then it has a heartbeat. */
  queued = false;
  /** When the lock is free if its holder died, and this request looks. */
  free: Deadline | undefined;

  constructor(readonly asked: LockRequest) {
    this.answer = new Promise((resolve, reject) => {
      this.#answer = resolve;
      this.#refuse = reject;
    });
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

  /** It is sent to a server that does not run it any more after that. */
  leave(mayRunUntil: Deadline): void {
    this.sent = true;
    this.#earlier = this.unanswered;
    this.unanswered = mayRunUntil;
  }

  /** The server has answered the try that was sent with it. */
  answered(mayRunUntil: Deadline): void {
    if (this.unanswered === mayRunUntil) this.unanswered = this.#earlier;
  }

  grant(grant: Grant): void {
    this.#settled = true;
    if (this.#granted === undefined) this.#answer(grant);
    else this.#granted.resolve(grant);
  }

  /** It stands in the queue. */
  wait(): void {
    if (this.#granted !== undefined) return;
    const granted = new Promise<Grant>((resolve, reject) => {
      this.#granted = { resolve, reject };
    });
    // Whoever waits for it hears of it; when nobody does, it is nobody's concern.
    granted.catch(() => undefined);
    this.#answer({ state: 'waiting', granted });
  }

  turnAway(): void {
    this.#settled = true;
    this.#answer({ state: 'busy' });
  }

  refuse(error: unknown): void {
    this.#settled = true;
    if (this.#granted === undefined) this.#refuse(error);
    else this.#granted.reject(error);
  }
}
