import type { LockHolder, LockMode, LockOwner, LockWaiter } from '../interfaces/index.js';
import { keyFilter } from './key-filter.js';
import type { LinePoint } from './key-line.js';
import type { LockWatch } from './lock-watch.js';
import type { WatchedKey } from './watched-keys.js';

/*
 * What the page is told each second, as JSON. Times are milliseconds ago, or from now on, so that the
 * clocks of browser and server need not agree.
 */

export interface DashboardState {
  /** All that are held, whatever the page shows of them. */
  readonly totals: { readonly keys: number; readonly holders: number; readonly waiters: number };
  /** How many keys match the filter. */
  readonly matching: number;
  /** The slowest of them. */
  readonly rows: readonly KeyRow[];
  /** The key that the page asked to see more of. */
  readonly opened: KeyDetails | undefined;
  /** How long it takes to look at all keys; undefined before it was done once. */
  readonly sweep: number | undefined;
  readonly trouble: string | undefined;
}

export interface KeyRow {
  readonly key: string;
  /** The first few. */
  readonly holders: readonly HolderRow[];
  readonly holderCount: number;
  readonly waiters: number;
  /** How long who waits longest has waited. */
  readonly longestWait: number | undefined;
  readonly isLeadership: boolean;
  readonly line: readonly LinePoint[];
  /** How long ago it was looked at. */
  readonly looked: number;
}

export interface HolderRow extends LockOwner {
  readonly token: number;
  readonly mode: LockMode;
  readonly held: number;
  /** Null where it does not end by itself. */
  readonly left: number | null;
}

export interface WaiterRow extends LockOwner {
  readonly place: number;
  readonly mode: LockMode;
  readonly waited: number;
}

export interface TermRow extends LockOwner {
  readonly token: number;
  readonly began: number;
  /** Null while it lasts. */
  readonly ended: number | null;
}

export interface KeyDetails {
  readonly key: string;
  readonly holders: readonly HolderRow[];
  readonly waiters: number;
  /** The first hundred. */
  readonly queue: readonly WaiterRow[];
  /** The last ones that were seen, of a leadership. */
  readonly terms: readonly TermRow[];
}

/** What a page wants to see. */
export interface DashboardView {
  /** See {@link keyFilter}. */
  readonly filter: string;
  /** How many rows. */
  readonly limit: number;
  readonly open: string | undefined;
}

/** So many holders are told of in a row. */
const MOST_HOLDERS = 3;

export function dashboardState(watch: LockWatch, view: DashboardView): DashboardState {
  const all = watch.keys.slowestFirst;
  const isWanted = keyFilter(view.filter);
  const matching = all.filter(({ state }) => isWanted(state.key));
  const opened = view.open === undefined ? undefined : watch.keys.get(view.open);
  return {
    totals: {
      keys: all.length,
      holders: sum(all, ({ state }) => state.holders.length),
      waiters: sum(all, ({ state }) => state.waiters),
    },
    matching: matching.length,
    rows: matching.slice(0, view.limit).map(rowOf),
    opened: opened && detailsOf(opened),
    sweep: watch.report.took,
    trouble: watch.report.trouble,
  };
}

function rowOf({ state, line, terms, looked, waitsSince }: WatchedKey): KeyRow {
  const { key, holders, waiters } = state;
  return {
    key,
    holders: holders.slice(0, MOST_HOLDERS).map((holder) => holderRow(holder, looked)),
    holderCount: holders.length,
    waiters,
    longestWait: waitsSince === Infinity ? undefined : age(waitsSince),
    isLeadership: terms !== undefined,
    line: line.points,
    looked: performance.now() - looked,
  };
}

function detailsOf({ state, terms, looked }: WatchedKey): KeyDetails {
  const { key, holders, waiters, queue } = state;
  return {
    key,
    holders: holders.map((holder) => holderRow(holder, looked)),
    waiters,
    queue: queue.map(waiterRow),
    terms: (terms?.list ?? []).map(({ holder, over }) => ({
      ...holder.owner,
      token: holder.fencingToken,
      began: age(holder.since.getTime()),
      ended: over === undefined ? null : performance.now() - over,
    })),
  };
}

function holderRow(
  { fencingToken, mode, since, remaining, owner }: LockHolder,
  looked: number,
): HolderRow {
  const left = Math.max(0, remaining - (performance.now() - looked));
  return {
    ...owner,
    token: fencingToken,
    mode,
    held: age(since.getTime()),
    left: Number.isFinite(left) ? left : null,
  };
}

function waiterRow({ place, mode, since, owner }: LockWaiter): WaiterRow {
  return { ...owner, place, mode, waited: age(since.getTime()) };
}

function age(since: number): number {
  return Math.max(0, Date.now() - since);
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0);
}
