import { LockConfigurationError } from '../errors/index.js';
import type { Leadership, LockState } from '../interfaces/index.js';
import type { LockHandle } from '../lock-handle.js';
import { outsideOfContexts } from '../timers.js';
import { Candidate } from './candidate.js';
import type { RunUnder } from './term.js';

export interface LeadershipsContext {
  /** Waits in line for as long as it takes. */
  acquire(key: string, ttl: number, signal: AbortSignal): Promise<LockHandle>;
  readonly runUnder: RunUnder;
  inspect(key: string): Promise<LockState>;
  warn(message: string): void;
}

/** The leaderships of one process: one a key, until it is over. */
export class Leaderships {
  readonly #candidates = new Map<string, { candidate: Candidate; ttl: number }>();

  constructor(private readonly context: LeadershipsContext) {}

  /** Those for which this process stands. */
  get keys(): readonly string[] {
    return [...this.#candidates.keys()];
  }

  /** @throws LockConfigurationError when the leadership of the key has another ttl */
  of(key: string, ttl: number): Leadership {
    const known = this.#candidates.get(key);
    if (known?.candidate.over === false) {
      if (known.ttl === ttl) return known.candidate;
      throw new LockConfigurationError(
        `the leadership "${key}" has a ttl of ${known.ttl} ms already, got ${ttl}`,
        key,
      );
    }
    const context = {
      acquire: (signal: AbortSignal) => this.context.acquire(key, ttl, signal),
      runUnder: this.context.runUnder,
      inspect: () => this.context.inspect(key),
      warn: (message: string) => {
        this.context.warn(message);
      },
    };
    const candidate = outsideOfContexts(() => new Candidate(key, context));
    this.#candidates.set(key, { candidate, ttl });
    void candidate.ended.then(() => {
      if (this.#candidates.get(key)?.candidate === candidate) this.#candidates.delete(key);
    });
    return candidate;
  }
}
