import type { LeadershipCount, LockCount, LockMode, LockStats } from '../interfaces/index.js';
import type { Caller } from './caller.js';

/** A lock, or a caller that waits for one, as far as it is counted. */
export interface Counted {
  readonly template?: string | undefined;
  readonly caller?: Caller | undefined;
  readonly mode: LockMode;
}

/** How many there are of each template and mode, leaderships left out. */
export function countLocks(all: Iterable<Counted>): readonly LockCount[] {
  const counts = new Map<string, { -readonly [K in keyof LockCount]: LockCount[K] }>();
  for (const { template, caller, mode } of all) {
    if (caller?.leads) continue;
    const kind = `${mode}:${template ?? ''}`;
    const known = counts.get(kind);
    if (known === undefined) counts.set(kind, { template, mode, count: 1 });
    else known.count++;
  }
  return [...counts.values()];
}

export function countLeaderships(
  all: Iterable<{ readonly template: string | undefined; readonly isLeader: boolean }>,
): readonly LeadershipCount[] {
  const counts = new Map<string | undefined, LeadershipCount>();
  for (const { template, isLeader } of all) {
    const { standing = 0, leading = 0 } = counts.get(template) ?? {};
    counts.set(template, {
      template,
      standing: standing + 1,
      leading: leading + (isLeader ? 1 : 0),
    });
  }
  return [...counts.values()];
}

/** Who has stats. */
export interface StatsSource {
  stats(): LockStats;
}

const SOURCES = Symbol.for('nestjs-lock:stats');

/** Who answers, of all copies of the package in this process. Nobody is kept by it who is not closed. */
const sources = ((globalThis as { [SOURCES]?: Set<WeakRef<StatsSource>> })[SOURCES] ??= new Set());

const forgotten = new FinalizationRegistry<WeakRef<StatsSource>>((source) => {
  sources.delete(source);
});

/** Has a service answer until it is closed, or forgotten. Returns what ends it. */
export function answerForStats(source: StatsSource): () => void {
  const known = new WeakRef(source);
  sources.add(known);
  forgotten.register(source, known);
  return () => {
    sources.delete(known);
  };
}

/** Of all services of this process that were used and are not closed. */
export function allStats(): readonly LockStats[] {
  return [...sources].flatMap((source) => source.deref()?.stats() ?? []);
}
