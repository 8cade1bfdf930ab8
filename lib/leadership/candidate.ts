import { pause } from '../clock.js';
import { readDuration } from '../duration.js';
import { LockShutdownError } from '../errors/index.js';
import { messageOf } from '../errors/shown.js';
import type {
  Duration,
  Leadership,
  LeadershipListener,
  LeaderState,
  LeaderTerm,
  Lock,
  LockState,
} from '../interfaces/index.js';

/** Between two tries to stand at a backend that refuses, in milliseconds. */
const RETRY = 1_000;

export interface CandidateContext {
  /** Waits in line for as long as it takes. */
  acquire(signal: AbortSignal): Promise<Lock>;
  inspect(): Promise<LockState>;
  warn(message: string): void;
}

/** A leadership is a lock that is sought again whenever it is over. */
export class Candidate implements Leadership {
  #lock: Lock | undefined;
  /** What runs under the present term. */
  readonly #bodies = new Set<Promise<unknown>>();
  readonly #withdrawal = new AbortController();
  #stepsDown: () => void = () => undefined;
  #over = false;
  readonly #elected = new Set<LeadershipListener>();
  readonly #deposed = new Set<LeadershipListener>();
  /** Who waits for the next election, or for the end. */
  #waiting: (() => void)[] = [];
  #serving: Promise<void> | undefined;
  readonly #campaigning: Promise<void>;

  constructor(
    readonly key: string,
    private readonly context: CandidateContext,
  ) {
    this.#campaigning = this.#campaign();
  }

  /** Whether it does not stand any more. */
  get over(): boolean {
    return this.#over;
  }

  get isLeader(): boolean {
    return this.term !== undefined;
  }

  get term(): LeaderTerm | undefined {
    return this.#lock?.held && !this.#lock.signal.aborted ? this.#lock : undefined;
  }

  onElected(listener: LeadershipListener): () => void {
    const { term } = this;
    if (term !== undefined) this.#tell(listener, term);
    return subscribed(this.#elected, listener);
  }

  onDeposed(listener: LeadershipListener): () => void {
    return subscribed(this.#deposed, listener);
  }

  async run<T>(body: (term: LeaderTerm) => Promise<T> | T): Promise<T | undefined> {
    const { term } = this;
    if (term === undefined) return undefined;
    const running = Promise.resolve().then(() => body(term));
    this.#bodies.add(running);
    try {
      const result = await running;
      term.assertHeld();
      return result;
    } finally {
      this.#bodies.delete(running);
    }
  }

  observe(every: Duration = 1_000): AsyncGenerator<LeaderState | undefined> {
    return this.#observe(readDuration('every', every));
  }

  async stepDown(): Promise<void> {
    this.#stepsDown();
    await this.#serving;
  }

  async withdraw(): Promise<void> {
    this.#withdrawal.abort();
    this.#stepsDown();
    await this.#campaigning;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.withdraw();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LeaderTerm> {
    let last: LeaderTerm | undefined;
    while (!this.#over) {
      const { term } = this;
      if (term !== undefined && term !== last) yield (last = term);
      else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async *#observe(every: number): AsyncGenerator<LeaderState | undefined> {
    let told: number | 'nothing' | undefined = 'nothing';
    while (!this.#over) {
      const [holder] = (await this.context.inspect()).holders;
      const token = holder?.fencingToken;
      if (token !== told) {
        told = token;
        yield token === undefined
          ? undefined
          : { fencingToken: token, isSelf: token === this.term?.fencingToken };
      }
      await pause(every);
    }
  }

  /** Never rejects. */
  async #campaign(): Promise<void> {
    while (!this.#isWithdrawn()) {
      try {
        const lock = await this.context.acquire(this.#withdrawal.signal);
        await (this.#serving = this.#serve(lock));
      } catch (error) {
        if (this.#isWithdrawn() || error instanceof LockShutdownError) break;
        this.context.warn(`Cannot stand for the leadership "${this.key}": ${messageOf(error)}`);
        await pause(RETRY);
      }
    }
    this.#over = true;
    this.#changed();
  }

  /** From the election until the term is over. Never rejects. */
  async #serve(lock: Lock): Promise<void> {
    const stepsDown = new Promise<void>((resolve) => {
      this.#stepsDown = resolve;
    });
    if (this.#isWithdrawn()) this.#stepsDown();
    this.#lock = lock;
    this.#changed();
    for (const listener of this.#elected) this.#tell(listener, lock);
    await Promise.race([stepsDown, aborted(lock.signal)]);
    // Whoever works under a term that is not lost yet may finish.
    if (lock.held) await Promise.allSettled(this.#bodies);
    await lock.release();
    this.#lock = undefined;
    for (const listener of this.#deposed) this.#tell(listener, lock);
  }

  #isWithdrawn(): boolean {
    return this.#withdrawal.signal.aborted;
  }

  #changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const tell of waiting) tell();
  }

  #tell(listener: LeadershipListener, term: LeaderTerm): void {
    Promise.resolve(term)
      .then(listener)
      .catch((error: unknown) => {
        this.context.warn(`A listener of the leadership "${this.key}" failed: ${messageOf(error)}`);
      });
  }
}

function subscribed<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
