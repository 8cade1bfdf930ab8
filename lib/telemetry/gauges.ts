import type { LockCount } from '../interfaces/index.js';
import type { Attributed, GaugeName } from './metrics.js';
import { allStats } from './stats.js';

/** What a gauge shows for some attributes. */
export interface Reading {
  readonly metric: GaugeName;
  readonly value: number;
  readonly attributes: Attributed;
}

/** So many readings that have become 0 are still given. */
const MOST = 1_000;

/**
 * What all services of this process hold and wait for, whenever it is read. What was read before, and is
 * not there any more, is 0 and not missing.
 */
export class Gauges {
  #last = new Map<string, Reading>();

  read(): readonly Reading[] {
    const readings = new Map<string, Reading>();
    const add = (metric: GaugeName, value: number, attributes: Attributed) => {
      const id = JSON.stringify([metric, attributes]);
      const before = readings.get(id)?.value ?? 0;
      readings.set(id, { metric, value: before + value, attributes });
    };
    for (const { backend, instance, holds, waits, leaderships, paused } of allStats()) {
      const source = { backend, instance };
      const addAll = (metric: GaugeName, counts: readonly LockCount[]) => {
        for (const { template, mode, count } of counts) {
          add(metric, count, { template, mode, ...source });
        }
      };
      addAll('nestjs_lock.hold.active', holds);
      addAll('nestjs_lock.acquire.active', waits);
      for (const { template, leading } of leaderships) {
        add('nestjs_lock.leadership.active', leading, { template, ...source });
      }
      add('nestjs_lock.backend.paused', paused.length, source);
    }
    for (const [id, { metric, attributes }] of this.#last) {
      if (readings.size >= MOST) break;
      if (!readings.has(id)) readings.set(id, { metric, value: 0, attributes });
    }
    this.#last = readings;
    return [...readings.values()];
  }
}
