import type { Report } from './simulation.js';
import type { TopologyName } from './topologies.js';

/** What many histories of one topology came to. */
export interface Total {
  histories: number;
  hours: number;
  grants: number;
  faults: number;
  /** That servers carried out; those of etcd are not counted. */
  commands: number;
  violations: number;
}

/** Adds up reports, and shows them as a table. */
export class Totals {
  readonly #of = new Map<TopologyName, Total>();

  add({ plan, seconds, grants, faults, commands, violations }: Report): void {
    const total = this.#of.get(plan.topology) ?? {
      ...{ histories: 0, hours: 0, grants: 0, faults: 0, commands: 0, violations: 0 },
    };
    total.histories++;
    total.hours += seconds / 3_600;
    total.grants += grants;
    total.faults += Object.values(faults).reduce((sum, count) => sum + count, 0);
    total.commands += commands;
    total.violations += violations.length;
    this.#of.set(plan.topology, total);
  }

  get grants(): number {
    return [...this.#of.values()].reduce((sum, { grants }) => sum + grants, 0);
  }

  get violations(): number {
    return [...this.#of.values()].reduce((sum, { violations }) => sum + violations, 0);
  }

  /** In Markdown. */
  toString(): string {
    const head = ['topology', 'histories', 'hours', 'faults', 'commands', 'grants', 'violations'];
    const rows = [...this.#of].map(([topology, total]) => [
      topology,
      ...[total.histories, total.hours.toFixed(1), total.faults, total.commands],
      ...[total.grants, total.violations],
    ]);
    const lines = [head, head.map(() => '---'), ...rows];
    return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  }
}
