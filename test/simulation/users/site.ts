import type { Timeline } from '../clock/timeline.js';
import type { SimProcess } from '../sim-process.js';
import type { Ledger } from './ledger.js';

/** What the errors stand for that a user has to expect. */
const EXPECTED = {
  LOCK_TIMEOUT: 'timeout',
  LOCK_BACKEND: 'backend',
  LOCK_LOST: 'lost',
  LOCK_SHUTDOWN: 'shutdown',
  // Who tries once is told of another limit.
  LOCK_CONFIGURATION: 'conflict',
} as const;

export type Outcome = (typeof EXPECTED)[keyof typeof EXPECTED] | 'granted' | 'aborted';

/** What all users share. */
export class Site {
  readonly outcomes: Partial<Record<Outcome, number>> = {};
  /** Since when everything works, in milliseconds; undefined before. */
  calmSince: number | undefined;
  /** How long somebody waited at most since then, in milliseconds. */
  longestWait = 0;
  #closed = false;

  constructor(
    readonly timeline: Timeline,
    readonly ledger: Ledger,
    /** What the backend can do. */
    readonly supports: { readonly limit: boolean; readonly minTtl: number },
  ) {}

  /** Nobody asks for anything any more. */
  close(): void {
    this.#closed = true;
  }

  isClosed(): boolean {
    return this.#closed;
  }

  count(outcome: Outcome): void {
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
  }

  /** Somebody who asked at that time was let in. */
  waited(since: number): void {
    if (this.calmSince === undefined) return;
    const waited = this.timeline.now - Math.max(since, this.calmSince);
    this.longestWait = Math.max(this.longestWait, waited);
  }

  /** What a call ended with; a violation where nobody could expect that. */
  failed(process: SimProcess, error: unknown): Outcome | undefined {
    const { code = '', name } = error as { code?: string; name: string };
    const outcome = name === 'AbortError' ? 'aborted' : EXPECTED[code as keyof typeof EXPECTED];
    if (name === 'AbortError' || code in EXPECTED) this.count(outcome);
    else this.ledger.violation(`${process.name}: ${String(error)}`);
    return outcome;
  }
}
