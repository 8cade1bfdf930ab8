import { LockConfigurationError } from '../errors/index.js';
import type { Leadership, LockState } from '../interfaces/index.js';
import type { LockHandle } from '../lock/lock-handle.js';
import type { LeaderSettings } from '../options/lock-options.js';
import { outsideOfContexts } from '../time/timers.js';
import { Candidate } from './candidate.js';
import type { RunUnder } from './term.js';

export interface LeadershipsContext {
  /** Waits in line for as long as it takes. */
  acquire(key: string, options: LeaderSettings, signal: AbortSignal): Promise<LockHandle>;
  readonly runUnder: RunUnder;
  inspect(key: string): Promise<LockState>;
  warn(message: string): void;
  /** A term began, or is over. */
  turned(lock: LockHandle, state: 'elected' | 'deposed'): void;
}

/** The leaderships of one process: one a key, until it is over. */
export class Leaderships {
  readonly #candidates = new Map<string, { candidate: Candidate; options: LeaderSettings }>();

  constructor(private readonly context: LeadershipsContext) {}

  /** For which this process stands. */
  get standing(): readonly { template: string | undefined; isLeader: boolean }[] {
    return [...this.#candidates.values()].map(({ candidate, options }) => ({
      template: options.template,
      isLeader: candidate.isLeader,
    }));
  }

  /** The keys of those for which this process stands. */
  get keys(): readonly string[] {
    return [...this.#candidates.keys()];
  }

  /** @throws LockConfigurationError when the leadership of the key has another ttl */
  of(key: string, options: LeaderSettings): Leadership {
    const known = this.#candidates.get(key);
    const { ttl } = options;
    if (known?.candidate.over === false) {
      if (known.options.ttl === ttl) return known.candidate;
      throw new LockConfigurationError(
        `the leadership "${key}" has a ttl of ${known.options.ttl} ms already, got ${ttl}`,
        key,
      );
    }
    const context = {
      acquire: (signal: AbortSignal) => this.context.acquire(key, options, signal),
      runUnder: this.context.runUnder,
      inspect: () => this.context.inspect(key),
      warn: (message: string) => {
        this.context.warn(message);
      },
      turned: (lock: LockHandle, state: 'elected' | 'deposed') => {
        this.context.turned(lock, state);
      },
    };
    const candidate = outsideOfContexts(() => new Candidate(key, context));
    this.#candidates.set(key, { candidate, options });
    void candidate.ended.then(() => {
      if (this.#candidates.get(key)?.candidate === candidate) this.#candidates.delete(key);
    });
    return candidate;
  }
}
