import type { LockState } from '../interfaces/index.js';
import { KeyLine } from './key-line.js';
import { Terms } from './terms.js';

/** A key that is held, or a leadership. */
export interface WatchedKey {
  readonly state: LockState;
  /** When it was looked at, by the monotonic clock. */
  readonly looked: number;
  readonly line: KeyLine;
  /** Only of a leadership for which this process stands. */
  readonly terms: Terms | undefined;
  /** When who waits longest came, by the wall clock; Infinity where nobody waits. */
  readonly waitsSince: number;
  /** When who holds it longest was let in; Infinity where nobody holds it. */
  readonly heldSince: number;
  readonly round: number;
}

/** The lines of so many keys that are free by now are kept: they may be held again. */
const MOST_PAST = 1_000;

/** What was seen last of each key. */
export class WatchedKeys {
  readonly #keys = new Map<string, WatchedKey>();
  /** Those that are free, the one that has been for longest first. */
  readonly #past = new Map<string, KeyLine>();
  #round = 0;
  #ordered: readonly WatchedKey[] | undefined;

  /** The slowest first: those for which somebody waits for longest, then those that are held for longest. */
  get slowestFirst(): readonly WatchedKey[] {
    return (this.#ordered ??= [...this.#keys.values()].sort(bySlowness));
  }

  get(key: string): WatchedKey | undefined {
    return this.#keys.get(key);
  }

  /** Begins a round, in which every key that is held is to be noted. */
  begin(): void {
    this.#round++;
  }

  wasSeenInRound(key: string): boolean {
    return this.#keys.get(key)?.round === this.#round;
  }

  /** What was not noted in this round is free. */
  end(): void {
    for (const [key, { round }] of this.#keys) if (round !== this.#round) this.#free(key);
  }

  note(state: LockState, isLeadership: boolean): void {
    const { key, holders, waiters, queue } = state;
    if (holders.length === 0 && !isLeadership) {
      this.#free(key);
      return;
    }
    const known = this.#keys.get(key);
    const line = known?.line ?? this.#past.get(key) ?? new KeyLine();
    const terms = isLeadership ? (known?.terms ?? new Terms()) : undefined;
    line.note(holders.length, waiters);
    terms?.note(holders.at(-1));
    this.#past.delete(key);
    this.#keys.set(key, {
      state,
      looked: performance.now(),
      line,
      terms,
      waitsSince: earliest(queue),
      heldSince: earliest(holders),
      round: this.#round,
    });
    this.#ordered = undefined;
  }

  #free(key: string): void {
    const known = this.#keys.get(key);
    if (known === undefined) return;
    this.#keys.delete(key);
    this.#ordered = undefined;
    known.line.note(0, 0);
    this.#past.set(key, known.line);
    const [first] = this.#past.keys();
    if (this.#past.size > MOST_PAST && first !== undefined) this.#past.delete(first);
  }
}

function earliest(all: readonly { since: Date }[]): number {
  return Math.min(...all.map(({ since }) => since.getTime()));
}

function bySlowness(one: WatchedKey, other: WatchedKey): number {
  return (
    compare(one.waitsSince, other.waitsSince) ||
    compare(one.heldSince, other.heldSince) ||
    (one.state.key < other.state.key ? -1 : 1)
  );
}

/** A difference of two that are infinite is no number. */
function compare(one: number, other: number): number {
  return one === other ? 0 : one < other ? -1 : 1;
}
