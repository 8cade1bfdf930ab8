import type { LockProcess } from '../lock-backend.js';

/** So many messages of operators are remembered for each lease: until the slowest node has told them. */
const MOST_HEARD = 16;

/** What this process knows of a lease it holds. */
export interface HeldLease {
  /** Milliseconds. */
  readonly ttl: number;
  readonly token: number;
}

interface Known extends HeldLease {
  /** Which nodes told a message, by its mark. */
  readonly heard: Map<string, Set<object>>;
  /** It was ended at a majority. */
  lost: boolean;
}

/** The leases of this process, by request id, and what the nodes tell of them. */
export class RedlockLeases {
  readonly #leases = new Map<string, Known>();

  constructor(
    private readonly process: Pick<LockProcess, 'lost' | 'revoked'>,
    private readonly quorum: number,
  ) {}

  add(id: string, lease: HeldLease): void {
    this.#leases.set(id, { ...lease, heard: new Map(), lost: false });
  }

  /** What is known of it while it is held, as far as this process knows. */
  find(id: string): HeldLease | undefined {
    const lease = this.#leases.get(id);
    return lease?.lost === false ? lease : undefined;
  }

  has(id: string): boolean {
    return this.find(id) !== undefined;
  }

  /** Forgets it, and returns what was known of it. */
  take(id: string): HeldLease | undefined {
    const lease = this.#leases.get(id);
    this.#leases.delete(id);
    return lease;
  }

  /** `lost <id> <mark>` or `revoked <id> <mark> <ms of grace> <reason>`; each node that has the lease says so. */
  hear(message: string, node: object): void {
    const [word, id = '', mark = '', grace, ...reason] = message.split(' ');
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    const times = this.#count(lease, mark, node);
    if (word === 'revoked' && times === 1) {
      this.process.revoked(id, { grace: Number(grace), reason: reason.join(' ') });
    }
    // Before that it is still held: the nodes that have it may be a majority.
    if (word === 'lost' && times === this.quorum) {
      lease.lost = true;
      this.process.lost(id);
    }
  }

  /** How many nodes have told it by now; 0 when this one had. */
  #count({ heard }: Known, mark: string, node: object): number {
    const nodes = heard.get(mark) ?? new Set();
    if (nodes.has(node)) return 0;
    const [oldest] = heard.keys();
    if (heard.size >= MOST_HEARD && oldest !== undefined) heard.delete(oldest);
    heard.set(mark, nodes.add(node));
    return nodes.size;
  }
}
