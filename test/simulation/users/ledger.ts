import type { Lock, LockMode } from '../../../lib/index.js';
import type { Timeline } from '../clock/timeline.js';
import type { SimProcess } from '../sim-process.js';
import { Queues } from './queues.js';

/** What is asked of one key: the same limit by all, else they wait for each other. */
export interface Terms {
  readonly mode: LockMode;
  readonly limit: number;
}

/** What is looked at of a lock, or of a term. */
export type Held = Pick<Lock, 'keys' | 'held' | 'fencingTokenOf'>;

/** One who was let in. */
export interface Entry extends Terms {
  readonly process: SimProcess;
  readonly key: string;
  readonly token: number;
  /** Whether it may be held so now; it says so itself, by its own clock. */
  readonly isHeld: () => boolean;
  mode: LockMode;
  /** An operator ended it, who lets others in at once. */
  isBroken: boolean;
}

/** What is kept of a key. */
interface Page {
  readonly entries: Set<Entry>;
  /** The greatest token of those who were alone, and of anybody. */
  alone: number;
  any: number;
  readonly tokens: Set<number>;
  /** Until when one whose lease an operator has ended may not know of it. */
  brokenUntil: number;
  /** Since when nobody is inside. */
  idleSince: number;
}

/** So late a message may be, in milliseconds. */
const LATE = 4_000;

/** For so long nobody may be inside where somebody waits, once everything works, in milliseconds. */
const IDLE = 8_000;

/** Knows who is inside, from outside, and sees who must not be. */
export class Ledger {
  readonly violations: string[] = [];
  grants = 0;
  /** Since when everything works. */
  calmSince = Infinity;
  readonly #pages = new Map<string, Page>();
  readonly #queues: Queues;

  constructor(
    private readonly timeline: Timeline,
    /** Whether two holders are excluded even where servers forget. */
    private readonly excludes: boolean,
  ) {
    this.#queues = new Queues(timeline, (words) => {
      this.violation(words);
    });
  }

  violation(words: string): void {
    this.violations.push(`at ${(this.timeline.now / 1000).toFixed(4)} s: ${words}`);
    this.timeline.note(`VIOLATION ${words}`);
  }

  /** All keys of a lock that was just granted. Returns what is to be called when its holder has done with it. */
  enter(process: SimProcess, lock: Held, terms: Terms): () => void {
    this.grants++;
    const entries = lock.keys.map((key): Entry => {
      const token = lock.fencingTokenOf(key);
      return { process, key, token, ...terms, isHeld: () => lock.held, isBroken: false };
    });
    for (const entry of entries) this.#add(entry);
    return () => {
      for (const entry of entries) this.leave(entry);
    };
  }

  /** All of it is held with readers from now on. */
  downgrade(process: SimProcess, lock: Held): void {
    for (const key of lock.keys) {
      for (const entry of this.#pageOf(key).entries) {
        if (entry.process === process && entry.token === lock.fencingTokenOf(key)) {
          entry.mode = 'shared';
        }
      }
    }
  }

  /** An operator ends all leases of a key: whoever has one now may learn of it late. */
  async whileBreaking<T>(key: string, breaking: Promise<T>): Promise<T> {
    const page = this.#pageOf(key);
    page.brokenUntil = Infinity;
    try {
      return await breaking;
    } finally {
      for (const entry of page.entries) entry.isBroken = true;
      page.brokenUntil = this.timeline.now + LATE;
    }
  }

  #add(entry: Entry): void {
    const { process, key, token } = entry;
    const page = this.#pageOf(key);
    this.timeline.note(`${process.name} enters ${key} with ${token}, ${words(entry)}`);
    // One who learned of its grant too late is not inside.
    if (entry.isHeld()) this.#check(entry, page);
    page.entries.add(entry);
    this.#look(key, page);
  }

  /** Tokens rise in the order in which those enter who exclude each other, and none is given twice. */
  #check({ process, key, token, mode, limit }: Entry, page: Page): void {
    const isAlone = mode === 'exclusive' && limit === 1;
    const before = isAlone ? page.any : page.alone;
    if (page.tokens.has(token))
      this.violation(`${process.name} enters ${key} with ${token} as well`);
    // Where servers forget, one who holds what they forgot may enter late: of several keys, the last.
    else if (this.excludes && token <= before && this.timeline.now >= page.brokenUntil) {
      this.violation(`${process.name} enters ${key} with ${token}, after ${before}`);
    }
    if (isAlone) page.alone = Math.max(page.alone, token);
    page.any = Math.max(page.any, token);
    page.tokens.add(token);
  }

  leave(entry: Entry): void {
    this.timeline.note(`${entry.process.name} leaves ${entry.key} with ${entry.token}`);
    const page = this.#pageOf(entry.key);
    page.entries.delete(entry);
    page.idleSince = this.timeline.now;
  }

  /** Somebody asks for these. Returns what is to be called when it has its answer. */
  wait(process: SimProcess, keys: readonly string[]): () => void {
    const leaving = keys.map((key) => {
      if (this.#queues.lengthOf(key) === 0) this.#pageOf(key).idleSince = this.timeline.now;
      return this.#queues.join(process, key, keys.length === 1);
    });
    return () => {
      for (const leave of leaving) leave();
    };
  }

  /** Who asked for these at that time is let in. */
  serve(process: SimProcess, keys: readonly string[], asked: number): void {
    for (const key of keys) this.#queues.serve(process, key, asked, this.calmSince + IDLE);
  }

  forget(process: SimProcess): void {
    this.#queues.forget(process);
    for (const { entries } of this.#pages.values()) {
      for (const entry of entries) if (entry.process === process) entries.delete(entry);
    }
  }

  /** After each event. */
  look(): void {
    for (const [key, page] of this.#pages) {
      if (page.entries.size > 1) this.#look(key, page);
      const since = Math.max(page.idleSince, this.calmSince);
      const waiting = this.#queues.lengthOf(key);
      if (waiting > 0 && page.entries.size === 0 && this.timeline.now > since + IDLE) {
        this.violation(`nobody is inside ${key}, and ${waiting} wait`);
      }
    }
  }

  #look(key: string, { entries, brokenUntil }: Page): void {
    if (!this.excludes || this.timeline.now < brokenUntil || entries.size < 2) return;
    const inside = [...entries].filter(({ process, isBroken, isHeld }) => {
      // One who is paused does nothing, and looks at its clock before it does.
      return !isBroken && !process.isDead && !process.isPaused && isHeld();
    });
    if (inside.length < 2 || fits(inside)) return;
    this.violation(`${key} is held by ${inside.map(words).join(' and ')}`);
  }

  #pageOf(key: string): Page {
    let page = this.#pages.get(key);
    if (page === undefined) {
      page = {
        entries: new Set(),
        alone: 0,
        any: 0,
        tokens: new Set(),
        brokenUntil: 0,
        idleSince: 0,
      };
      this.#pages.set(key, page);
    }
    return page;
  }
}

/** Whether all of them may be inside together. */
function fits(inside: readonly Entry[]): boolean {
  const [first] = inside;
  if (inside.every(({ mode }) => mode === 'shared')) return true;
  return (
    inside.every(({ limit, mode }) => mode === 'exclusive' && limit === first?.limit) &&
    inside.length <= first!.limit
  );
}

function words({ process, token, mode, limit }: Entry): string {
  return `${process.name} (${limit > 1 ? `one of ${limit}` : mode}, ${token})`;
}
