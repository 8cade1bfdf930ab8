import type { Timeline } from './clock/timeline.js';
import type { Connected, Network } from './network.js';
import type { Population } from './population.js';
import type { SimProcess } from './sim-process.js';
import type { Store } from './topologies.js';

/** How often each fault of processes and network is chosen. */
export const FAULTS = {
  cut: 45,
  pause: 16,
  sleep: 4,
  loss: 8,
  freeze: 10,
  kill: 8,
  deploy: 4,
  clock: 5,
  mishap: 8,
} as const;

export type Fault = keyof typeof FAULTS;

/** Has something go wrong now and then. */
export class Nemesis {
  #ended = false;
  readonly counts: Partial<Record<Fault, number>> = {};

  constructor(
    private readonly timeline: Timeline,
    private readonly network: Network,
    private readonly store: Store,
    private readonly population: Population,
    private readonly faults: readonly Fault[],
  ) {
    if (faults.length > 0) this.#plan();
  }

  end(): void {
    this.#ended = true;
    this.network.heal();
  }

  #plan(): void {
    this.timeline.in(this.timeline.random.between(20, 600), async () => {
      if (this.#ended) return;
      await this.#strike();
      this.#plan();
    });
  }

  async #strike(): Promise<void> {
    const { random } = this.timeline;
    const weights = Object.fromEntries(this.faults.map((fault) => [fault, FAULTS[fault]]));
    const fault = random.weighted<Fault>(weights);
    this.counts[fault] = (this.counts[fault] ?? 0) + 1;
    const process = random.pick(this.population.processes);
    const node = random.pick(this.store.nodes);
    const note = (words: string): void => {
      this.timeline.note(`FAULT ${words}`);
    };
    switch (fault) {
      case 'cut': {
        const client = this.#connectionOf(process);
        if (client === undefined) return;
        note(`a connection of ${process.name} breaks`);
        client.breaks();
        return;
      }
      case 'pause': {
        const ms = random.between(1, 3_000);
        note(`${process.name} stands still for ${ms.toFixed()} ms`);
        process.pause(ms);
        return;
      }
      case 'sleep': {
        const ms = random.between(1, 5_000);
        note(`the machine of ${process.name} sleeps for ${ms.toFixed()} ms`);
        process.fallAsleep(ms);
        return;
      }
      case 'loss': {
        const direction = random.pick(['requests', 'replies'] as const);
        const ms = random.between(10, 4_000);
        note(
          `${direction} between ${process.name} and ${node.name} are lost for ${ms.toFixed()} ms`,
        );
        const one = random.chance(0.5) ? this.#connectionOf(process) : undefined;
        this.network.lose(one ?? process, node, direction, ms);
        return;
      }
      case 'freeze': {
        const ms = random.between(1, 2_500);
        note(`${node.name} stands still for ${ms.toFixed()} ms`);
        node.freeze(ms);
        return;
      }
      case 'kill':
        note(`${process.name} dies`);
        this.population.kill(process);
        return;
      case 'deploy':
        note(`${process.name} is shut down`);
        this.population.replace(process);
        return;
      case 'clock': {
        const ms = random.between(-60_000, 60_000);
        note(`the wall clock of ${process.name} is set by ${ms.toFixed()} ms`);
        process.stepWallClock(ms);
        return;
      }
      case 'mishap': {
        const mishaps = Object.entries(this.store.mishaps);
        if (mishaps.length === 0 || !random.chance(1 / (this.store.rarity ?? 1))) return;
        const [words, happens] = random.pick(mishaps);
        note(`${node.name} ${words}`);
        await happens();
      }
    }
  }

  #connectionOf(process: SimProcess): Connected | undefined {
    const all = this.network.connectionsOf(process);
    return all.length === 0 ? undefined : this.timeline.random.pick(all);
  }
}
