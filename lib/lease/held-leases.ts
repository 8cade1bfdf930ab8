import { Register } from '../structures/register.js';
import { Alarm } from '../time/clock.js';
import type { Lease, LeaseHolding } from './lease.js';

interface Lingering {
  readonly id: string;
  readonly lease: Lease;
  /** Rings when it has ended at the backend too. */
  readonly over: Alarm;
}

/** What this process holds, and what it lost and the backend may still have. */
export class HeldLeases {
  readonly #held = new Register<Lease>();
  /** Lost and not given back yet. */
  readonly #lingering = new Register<Lingering>();
  #whenNone: (() => void)[] = [];

  add(lease: Lease): void {
    this.#held.add(lease);
  }

  find(id: string): Lease | undefined {
    return this.#held.find(id);
  }

  get count(): number {
    return this.#held.size;
  }

  get holdings(): readonly LeaseHolding[] {
    return this.#held.values().map(({ holding }) => holding);
  }

  get lingering(): readonly Lease[] {
    return this.#lingering.values().map(({ lease }) => lease);
  }

  /** It is lost, and its holder has not given it back yet. */
  linger(lease: Lease): void {
    this.letGo(lease);
    if (!lease.mayLinger) return;
    const { id, ttl } = lease;
    // By then it has ended there too, also when the last renewal was carried out late.
    const over = Alarm.in(ttl, () => this.#lingering.delete(id));
    this.#lingering.add({ id, lease, over });
  }

  letGo({ id }: Lease): void {
    this.#lingering.find(id)?.over.off();
    this.#lingering.delete(id);
    this.#held.delete(id);
    if (this.#held.size > 0) return;
    const told = this.#whenNone;
    this.#whenNone = [];
    for (const resolve of told) resolve();
  }

  /** Resolves when none is held. */
  async allReleased(): Promise<void> {
    while (this.#held.size > 0) {
      await new Promise<void>((resolve) => this.#whenNone.push(resolve));
    }
  }

  /**
   * Resolves when those who hold a lock now are done with it, but for those who asked for its signal:
   * they may go on until that tells them to finish.
   */
  async presentHoldersDone(): Promise<void> {
    const unaware = this.holdings.filter((holding) => !holding.isWatched);
    await Promise.all(unaware.map((holding) => holding.whenOver()));
  }
}
