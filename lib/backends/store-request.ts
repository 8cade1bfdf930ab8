import type { Deadline } from '../time/clock.js';
import type { Answer, Busy, Grant, LockRequest } from './lock-backend.js';

/**
 * `asked`: it is being asked for, for the first time or again. `queued`: the server said that it stands
 * in the queue; only then it has a heartbeat. `granted`, `refused`: it was answered for good. `over`:
 * nobody wants it any more, it was withdrawn, or its lease is being given back.
 */
type State = 'asked' | 'queued' | 'granted' | 'refused' | 'over';

/** What this process knows of one request, until nothing of it can be left at the server. */
export class StoreRequest {
  /** What is said to who asked: the grant, however it came, or that the request waits, or that it is in vain. */
  readonly answer: Promise<Answer>;
  #answer!: (answer: Answer) => void;
  #refuse!: (error: unknown) => void;
  /** Settles what was promised with the answer that it waits. */
  #granted: { resolve(grant: Grant): void; reject(error: unknown): void } | undefined;
  #state: State = 'asked';
  #token: number | undefined;
  #sent = false;
  /** Until when the server may still run what was sent and not answered. */
  #unanswered: Deadline | undefined;
  /** The same of the tries before the last one. */
  #earlier: Deadline | undefined;
  /** Of the last grant of it that was broken, as far as it was heard. */
  #brokenToken = 0;

  /** Settles when its lease was given back, as far as that is under way. */
  #givenBack: Promise<unknown> | undefined;

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

  get queued(): boolean {
    return this.#state === 'queued';
  }

  /** Whether anything of it ever left this process. */
  get sent(): boolean {
    return this.#sent;
  }

  /** Until when a try of it that was not answered may still run at the server; undefined when none may. */
  get stray(): Deadline | undefined {
    return this.#unanswered?.passed === false ? this.#unanswered : undefined;
  }

  /**
   * Whether nobody wants it any more: what the server grants it is to be given back. A method, as it
   * changes while others are awaited, which the compiler does not see of a getter.
   */
  isOver(): boolean {
    return this.#state === 'over';
  }

  /** Whether there is nothing to ask for any more; what is settled is never sent. */
  isSettled(): boolean {
    return this.#state !== 'asked' && this.#state !== 'queued';
  }

  /**
   * Whether it was heard already that a grant of this token was broken: messages come on another connection
   * than replies.
   */
  isBroken(token: number): boolean {
    return token <= this.#brokenToken;
  }

  /** It was heard that a grant of it was broken. */
  break(token: number): void {
    this.#brokenToken = Math.max(this.#brokenToken, token);
  }

  /** The token of its grant; undefined unless it was granted. */
  get token(): number | undefined {
    return this.#token;
  }

  /** It is sent to a server that does not run it any more after that. */
  leave(mayRunUntil: Deadline): void {
    this.#sent = true;
    this.#earlier = this.#unanswered;
    this.#unanswered = mayRunUntil;
  }

  /** The server has answered the try that was sent with it. */
  answered(mayRunUntil: Deadline): void {
    if (this.#unanswered === mayRunUntil) this.#unanswered = this.#earlier;
  }

  /** It stands in the queue. */
  wait(): void {
    this.#state = 'queued';
    if (this.#granted !== undefined) return;
    const granted = new Promise<Grant>((resolve, reject) => {
      this.#granted = { resolve, reject };
    });
    // Whoever waits for it hears of it; when nobody does, it is nobody's concern.
    granted.catch(() => undefined);
    this.#answer({ state: 'waiting', granted });
  }

  /** It has no place in the queue any more, and is asked for again. */
  askAgain(): void {
    this.#state = 'asked';
    this.free = undefined;
  }

  grant(grant: Grant): void {
    this.#state = 'granted';
    this.#token = grant.token;
    if (this.#granted === undefined) this.#answer(grant);
    else this.#granted.resolve(grant);
  }

  turnAway(busy: Busy): void {
    this.#state = 'refused';
    this.#answer(busy);
  }

  refuse(error: unknown): void {
    this.#state = 'refused';
    if (this.#granted === undefined) this.#refuse(error);
    else this.#granted.reject(error);
  }

  /**
   * Nobody wants it any more.
   * @param givenBack settles when its lease was given back, if it had one
   */
  end(givenBack?: Promise<unknown>): void {
    this.#state = 'over';
    this.#givenBack = givenBack;
  }

  /** Resolves when nothing of it is being given back. */
  async whenGivenBack(): Promise<void> {
    await this.#givenBack?.catch(() => undefined);
  }
}
