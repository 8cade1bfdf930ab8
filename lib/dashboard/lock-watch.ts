import { Deadline, pause } from '../time/clock.js';
import { messageOf } from '../text/shown.js';
import type { LockState } from '../interfaces/index.js';
import type { LockService } from '../lock.service.js';
import { outsideOfContexts } from '../time/timers.js';
import { Loop } from './loop.js';
import { Pace } from './pace.js';
import { WatchedKeys } from './watched-keys.js';

/** So often those who look are told, and the keys of small systems are looked at, in milliseconds. */
const TICK = 1_000;

/** A sweep rests so many times as long as the store worked for it: SCAN reads also names that are no locks. */
const REST = 4;

/** Who looks, and at what. */
export interface Viewer {
  /** Called each second. */
  tell(): void;
  /** The keys that it shows: they are looked at each other second where a sweep takes long. */
  readonly shown: Iterable<string>;
}

/** Of the sweeps, each of which looks at all keys that are held. */
export interface SweepReport {
  /** How long the last one took, in milliseconds; undefined before the first is done. */
  readonly took: number | undefined;
  /** Why the store could not be asked. */
  readonly trouble: string | undefined;
}

/**
 * The one that looks at the locks, for all who look at one dashboard: while there is one of them, and
 * no longer. One key after the other, so many in a second as it is told.
 */
export class LockWatch {
  readonly keys = new WatchedKeys();
  readonly #pace: Pace;
  readonly #viewers = new Set<Viewer>();
  #report: SweepReport = { took: undefined, trouble: undefined };

  readonly #wanted = () => this.#viewers.size > 0;
  readonly #sweeps = new Loop(this.#wanted, () => this.#sweepAndRest());
  readonly #ticks = new Loop(this.#wanted, () => this.#tick());

  constructor(
    private readonly locks: LockService,
    looksPerSecond: number,
  ) {
    this.#pace = new Pace(looksPerSecond);
  }

  get report(): SweepReport {
    return this.#report;
  }

  get viewers(): number {
    return this.#viewers.size;
  }

  /** Tells the viewer each second, until what it returns is called. */
  join(viewer: Viewer): () => void {
    this.#viewers.add(viewer);
    outsideOfContexts(() => {
      this.#sweeps.start();
      this.#ticks.start();
    });
    return () => {
      this.#viewers.delete(viewer);
    };
  }

  /** Looks at a key, when it is its turn. */
  async look(key: string): Promise<void> {
    await this.#pace.turn();
    this.#note(await this.locks.inspect(key));
  }

  async #sweepAndRest(): Promise<void> {
    const sweep = performance.now();
    let worked = 0;
    try {
      worked = await this.#sweep();
      this.#report = { took: performance.now() - sweep, trouble: undefined };
    } catch (error) {
      this.#report = { ...this.#report, trouble: messageOf(error) };
    }
    const took = performance.now() - sweep;
    await pause(Math.max(1, TICK - took, REST * worked - took));
  }

  /** @returns how long the store was waited for, in milliseconds */
  async #sweep(): Promise<number> {
    const { keys, locks } = this;
    const states = locks.list();
    let worked = 0;
    keys.begin();
    try {
      while (this.#wanted()) {
        const asked = performance.now();
        const { value: state, done } = await states.next();
        worked += performance.now() - asked;
        if (done === true) {
          await this.#lookAtLeaderships();
          keys.end();
          break;
        }
        this.#note(state);
        await this.#pace.turn();
      }
    } finally {
      await states.return();
    }
    return worked;
  }

  /** Also those in which nobody leads. */
  async #lookAtLeaderships(): Promise<void> {
    for (const key of this.locks.leadershipKeys) {
      if (!this.keys.wasSeenInRound(key)) await this.look(key);
    }
  }

  async #tick(): Promise<void> {
    for (const viewer of this.#viewers) viewer.tell();
    const next = Deadline.in(TICK);
    for (const key of this.#shownLongAgo()) {
      // What goes wrong shows at the sweep.
      await this.look(key).catch(() => undefined);
      if (next.passed) return;
    }
    if (!next.passed) await pause(next.remaining);
  }

  /** What viewers see and was looked at long ago, the oldest first. */
  #shownLongAgo(): string[] {
    const shown = new Set([...this.#viewers].flatMap((viewer) => [...viewer.shown]));
    const now = performance.now();
    return [...shown]
      .map((key) => ({ key, age: now - (this.keys.get(key)?.looked ?? now) }))
      .filter(({ age }) => age >= 2 * TICK)
      .sort((one, other) => other.age - one.age)
      .map(({ key }) => key);
  }

  #note(state: LockState): void {
    this.keys.note(state, this.locks.leadershipKeys.includes(state.key));
  }
}
