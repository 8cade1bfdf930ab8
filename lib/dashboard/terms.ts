import type { LockHolder } from '../interfaces/index.js';

/** So many terms of a leadership are remembered. */
const MOST = 20;

/** A time in which one process led, as far as it was seen. */
export interface SeenTerm {
  readonly holder: LockHolder;
  /** By the monotonic clock; undefined while it lasts. */
  over: number | undefined;
}

/** The terms of one leadership, the last one first. */
export class Terms {
  readonly list: SeenTerm[] = [];

  note(holder: LockHolder | undefined): void {
    const [last] = this.list;
    if (last?.over === undefined && last?.holder.fencingToken === holder?.fencingToken) return;
    if (last !== undefined) last.over ??= performance.now();
    if (holder === undefined) return;
    this.list.unshift({ holder, over: undefined });
    this.list.length = Math.min(this.list.length, MOST);
  }
}
