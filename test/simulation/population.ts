import type { LockService } from '../../lib/index.js';
import type { Timeline } from './clock/timeline.js';
import type { Network } from './network.js';
import type { PackageLoader } from './package-loader.js';
import { SimProcess } from './sim-process.js';
import type { Store } from './topologies.js';
import type { Site } from './users/site.js';
import { User } from './users/user.js';

interface Inhabited {
  readonly process: SimProcess;
  readonly service: LockService;
  readonly users: Promise<void>[];
}

/** So soon a process may exit after its services were closed, in milliseconds. */
const SOON = 500;

/** The processes there are, each with a LockService and its users. */
export class Population {
  readonly #living: Inhabited[] = [];
  readonly #ending: Promise<void>[] = [];
  readonly #all: SimProcess[] = [];
  #born = 0;

  constructor(
    private readonly site: Site,
    private readonly timeline: Timeline,
    private readonly network: Network,
    private readonly store: Store,
    private readonly loader: PackageLoader,
    private readonly size: { readonly processes: number; readonly users: number },
  ) {
    for (let index = 0; index < size.processes; index++) this.#bear();
  }

  get processes(): SimProcess[] {
    return this.#living.map(({ process }) => process);
  }

  kill(process: SimProcess): void {
    this.#remove(process);
    process.kill();
    this.site.ledger.forget(process);
    for (const client of this.network.connectionsOf(process)) client.dies();
    this.#bear();
  }

  /** Ends it as Nest does, beside its successor. */
  replace(process: SimProcess): void {
    const old = this.#remove(process);
    this.#bear();
    this.#ending.push(this.#end(old));
  }

  /** Nothing is left of them. */
  dispose(): void {
    for (const process of this.#all) process.kill();
  }

  /** When all of them have ended. */
  async end(): Promise<void> {
    await Promise.all([...this.#living.map((one) => this.#end(one)), ...this.#ending]);
  }

  #bear(): void {
    const process = new SimProcess(`p${++this.#born}`, this.timeline, this.loader);
    this.#all.push(process);
    const backend = this.store.connect(process);
    const service = new process.package.LockService({ backend, ttl: '2s', wait: '10m' });
    const users = Array.from({ length: this.size.users }, () => {
      return new User(this.site, process, service).live();
    });
    this.#living.push({ process, service, users });
  }

  #remove(process: SimProcess): Inhabited {
    const index = this.#living.findIndex((one) => one.process === process);
    const [one] = this.#living.splice(index, 1);
    return one!;
  }

  async #end({ process, service, users }: Inhabited): Promise<void> {
    // It hears of that when it does anything at all.
    await new Promise<void>((resolve) => {
      process.at(this.timeline.now, resolve);
    });
    await service.close();
    await Promise.all(users);
    // What it waits for a moment more does not matter.
    await process.sleep(SOON);
    const { pendingTimers } = process;
    if (pendingTimers > 0) {
      this.site.ledger.violation(`${process.name} has ended, and ${pendingTimers} timers run on`);
    }
    process.kill();
  }
}
