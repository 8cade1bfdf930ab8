import type { Timeline } from './clock/timeline.js';
import type { SimProcess } from './sim-process.js';

export type Direction = 'requests' | 'replies';

/** The end of a process on a connection, or on several. */
export interface Connected {
  readonly process: SimProcess;
  /** The network breaks it. */
  breaks(): void;
  /** Its process died: the server notices, sooner or later. */
  dies(): void;
}

/** What is lost: between a process and a server, or on one of its connections. */
interface Loss {
  readonly whose: Connected | SimProcess;
  readonly node: object;
  readonly direction: Direction;
  readonly until: number;
}

/** What is between the processes and the servers. */
export class Network {
  /** The connections there are. */
  readonly clients = new Set<Connected>();
  #losses: Loss[] = [];
  /** How often a message takes long, from 0. */
  lateness = 1;
  /** What each message takes in addition, in milliseconds. */
  latency = 0;
  /** For how long no server notices that a connection is over, in milliseconds. */
  unnoticed = 0;

  constructor(private readonly timeline: Timeline) {}

  connectionsOf(process: SimProcess): Connected[] {
    return [...this.clients].filter((client) => client.process === process);
  }

  /** How long a message is on its way, in milliseconds: short mostly, and long now and then. */
  delay(): number {
    return this.latency + this.#jitter();
  }

  #jitter(): number {
    const { random } = this.timeline;
    const luck = random.next() / Math.max(this.lateness, 1e-9);
    if (luck > 0.1) return random.between(0.05, 0.3);
    if (luck > 0.01) return random.between(0.3, 5);
    if (luck > 0.001) return random.between(5, 100);
    return random.between(100, 3_000);
  }

  /** After how long a server notices that a connection is over. */
  halfOpen(): number {
    const { random } = this.timeline;
    const least = random.chance(0.9) ? this.delay() : random.between(0, 5_000);
    return Math.max(least, this.unnoticed);
  }

  /** Bytes of one direction are lost for so long. */
  lose(whose: Connected | SimProcess, node: object, direction: Direction, ms: number): void {
    this.#losses.push({ whose, node, direction, until: this.timeline.now + ms });
  }

  loses(client: Connected, node: object, direction: Direction): boolean {
    const { now } = this.timeline;
    this.#losses = this.#losses.filter(({ until }) => until > now);
    return this.#losses.some((loss) => {
      const concerns = loss.whose === client || loss.whose === client.process;
      return concerns && loss.node === node && loss.direction === direction;
    });
  }

  /** Everything works again from now on. */
  heal(): void {
    this.#losses = [];
    this.lateness = 0;
  }
}
