import type { LockHandle } from '../lock/lock-handle.js';

/** The thefts of one manager, by name, in the order in which they were asked for. */
export class Thefts {
  readonly #byName = new Map<string, Theft[]>();

  /** Settled when the last theft of the name is there: whoever asks later is to come after it. */
  last(name: string): Promise<unknown> | undefined {
    return this.#byName.get(name)?.at(-1)?.there;
  }

  /** @param there settled when it has the lock, waits for it, or was refused */
  begin(name: string, there: Promise<unknown>): Theft {
    const thefts = this.#byName.get(name) ?? [];
    this.#byName.set(name, thefts);
    const theft = new Theft(there, thefts, () => {
      if (thefts.length === 0) this.#byName.delete(name);
    });
    thefts.push(theft);
    return theft;
  }
}

export class Theft {
  #lock: LockHandle | undefined;
  #breakAgain: ((served: LockHandle) => Promise<unknown>) | undefined;
  /** Whom it has broken: what came late of a second time would break who has the lock next. */
  readonly #broken = new Set<Theft>();

  constructor(
    readonly there: Promise<unknown>,
    private readonly all: Theft[],
    private readonly whenOver: () => void,
  ) {}

  /** It waits. @param breakAgain called when a theft before it, which was served meanwhile, has the lock */
  waits(breakAgain: (served: LockHandle) => Promise<unknown>): void {
    this.#breakAgain = breakAgain;
    const before = this.all.slice(0, this.all.indexOf(this));
    const served = before.findLast((theft) => theft.#lock?.held === true);
    if (served !== undefined) this.#break(served);
  }

  /** It has the lock, unless a later theft waits for it. */
  holds(lock: LockHandle): void {
    this.#breakAgain = undefined;
    this.#lock = lock;
    const after = this.all.slice(this.all.indexOf(this) + 1);
    for (const theft of after) theft.#break(this);
  }

  #break(served: Theft): void {
    const lock = served.#lock;
    if (lock === undefined || this.#breakAgain === undefined || this.#broken.has(served)) return;
    this.#broken.add(served);
    this.#breakAgain(lock).catch(() => {
      this.#broken.delete(served);
    });
  }

  end(): void {
    this.all.splice(this.all.indexOf(this), 1);
    this.whenOver();
  }
}
