import type { InspectOptionsStylized } from 'node:util';
import { pause } from '../time/clock.js';
import { readDuration } from '../options/duration.js';
import { LockShutdownError } from '../errors/index.js';
import { messageOf } from '../text/shown.js';
import type {
  Duration,
  Leadership,
  LeadershipListener,
  LeaderState,
  LeaderTerm,
  LockState,
} from '../interfaces/index.js';
import type { LockHandle } from '../lock/lock-handle.js';
import { PRINTED, printed } from '../text/printed.js';
import { Term, type RunUnder } from './term.js';

/** Between two tries to stand at a backend that refuses, in milliseconds. */
const RETRY = 1_000;

export interface CandidateContext {
  /** Waits in line for as long as it takes. */
  acquire(signal: AbortSignal): Promise<LockHandle>;
  readonly runUnder: RunUnder;
  inspect(): Promise<LockState>;
  warn(message: string): void;
  /** A term began, or is over. */
  turned(lock: LockHandle, state: 'elected' | 'deposed'): void;
}

/** A leadership is a lock that is sought again whenever it is over. */
export class Candidate implements Leadership {
  #term: Term | undefined;
  readonly #withdrawal = new AbortController();
  #over = false;
  /** Whether it was told already that who leads cannot be seen. */
  #blind = false;
  readonly #elected = new Set<LeadershipListener>();
  readonly #deposed = new Set<LeadershipListener>();
  /** Who waits for the next election, or for the end. */
  #waiting: (() => void)[] = [];
  #serving: Promise<void> | undefined;
  /** Resolves when it does not stand any more. */
  readonly ended: Promise<void>;

  constructor(
    readonly key: string,
    private readonly context: CandidateContext,
  ) {
    this.ended = this.#campaign();
  }

  /** Whether it does not stand any more. */
  get over(): boolean {
    return this.#over;
  }

  get isLeader(): boolean {
    return this.term !== undefined;
  }

  get term(): LeaderTerm | undefined {
    return this.#term?.leads ? this.#term.lock : undefined;
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
    return this.#term?.leads ? this.#term.run(body) : undefined;
  }

  observe(every: Duration = 1_000): AsyncGenerator<LeaderState | undefined> {
    return this.#observe(readDuration('every', every));
  }

  async stepDown(): Promise<void> {
    this.#term?.end();
    await this.#serving;
  }

  async withdraw(): Promise<void> {
    this.#withdrawal.abort();
    this.#term?.end();
    await this.ended;
  }

  /** @internal What is logged of it. */
  toJSON(): object {
    const { key, isLeader, term } = this;
    return term === undefined ? { key, isLeader } : { key, isLeader, term };
  }

  /** @internal */
  [PRINTED](depth: number, options: InspectOptionsStylized): string {
    return printed('Leadership', this.toJSON(), depth, options);
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
      const state = await this.#look();
      if (state === 'closed') return;
      if (state !== 'unknown' && state?.fencingToken !== told) {
        told = state?.fencingToken;
        yield state;
      }
      await Promise.race([pause(every), this.ended]);
    }
  }

  /** What passes is looked for again: it says nothing of who leads. */
  async #look(): Promise<LeaderState | undefined | 'unknown' | 'closed'> {
    try {
      const [holder] = (await this.context.inspect()).holders;
      const token = holder?.fencingToken;
      this.#blind = false;
      if (token === undefined) return undefined;
      return { fencingToken: token, isSelf: token === this.term?.fencingToken };
    } catch (error) {
      if (error instanceof LockShutdownError) return 'closed';
      if (!this.#blind) {
        this.#blind = true;
        this.context.warn(`Cannot see who leads "${this.key}": ${messageOf(error)}`);
      }
      return 'unknown';
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

  /** From the election until the term is over, and what ran under it. Never rejects. */
  async #serve(lock: LockHandle): Promise<void> {
    const term = new Term(lock, this.context.runUnder);
    this.#term = term;
    this.context.turned(lock, 'elected');
    if (this.#isWithdrawn()) term.end();
    this.#changed();
    for (const listener of this.#elected) this.#tell(listener, lock);
    // Who is deposed hears of it at once, also while what runs under the term goes on.
    lock.onLost(() => {
      this.#depose(term, lock);
    });
    await term.serve();
    this.#depose(term, lock);
  }

  #depose(term: Term, lock: LockHandle): void {
    if (this.#term !== term) return;
    this.#term = undefined;
    this.context.turned(lock, 'deposed');
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
