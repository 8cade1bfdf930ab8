import type { BackendConnection, LockBackend } from '../backends/lock-backend.js';
import { Deadline } from '../time/clock.js';
import { readDuration } from '../options/duration.js';
import type { PausedNode } from '../interfaces/index.js';
import type { LeaseHolding } from '../lease/lease.js';
import { Leases } from '../lease/leases.js';
import { LockHandle, type Keeper } from './lock-handle.js';
import { checkTtl } from '../options/lock-options.js';
import { LockView } from './lock-view.js';
import { makeProcessId } from './owner.js';
import { ReportedConnection } from '../telemetry/reported-connection.js';
import type { Reporter } from '../telemetry/reporter.js';
import { answerForStats, type StatsSource } from '../telemetry/stats.js';

/** What a LockService has from its first use on: a connection, and the leases it holds by that. */
export class LockSession {
  // Private by name: what is behind it, down to the client's password, is for no printer.
  readonly #connection: BackendConnection;
  readonly #leases: Leases;
  readonly #view: LockView;
  readonly #keeper: Keeper;
  /** By node. */
  readonly #pauses = new Map<number, { readonly over: Deadline; readonly why: string }>();
  readonly #leaveStats: () => void;
  #closed: Promise<void> | undefined;

  constructor(
    backend: LockBackend,
    label: string,
    warn: (message: string) => void,
    reporter: Reporter,
    stats: StatsSource,
  ) {
    const processId = makeProcessId(label);
    // A backend may tell of something as soon as it connects.
    const told: { leases?: Leases } = {};
    const opened = backend.connect({
      id: processId,
      warn,
      lost: (id, token) => {
        told.leases?.lose(id, token);
      },
      revoked: (id, revocation) => {
        told.leases?.revoke(id, revocation);
      },
      paused: (node, ms, why) => {
        this.#pauses.set(node, { over: Deadline.in(ms), why });
        reporter.paused(node, ms, why);
      },
    });
    const connection = new ReportedConnection(opened, reporter);
    const leases = new Leases({ processId, backendName: backend.name, connection, warn, reporter });
    told.leases = leases;
    this.#connection = connection;
    this.#leases = leases;
    this.#leaveStats = answerForStats(stats);
    this.#view = new LockView(processId, connection, leases);
    this.#keeper = {
      release: (holding) => leases.release(holding),
      downgrade: (holding) => leases.downgrade(holding),
      readTtl: (given) => {
        const ttl = readDuration('ttl', given);
        checkTtl(ttl, backend);
        return ttl;
      },
    };
  }

  /** What one caller has of a holding. */
  readonly handle = (holding: LeaseHolding): LockHandle => new LockHandle(holding, this.#keeper);

  get connection(): BackendConnection {
    return this.#connection;
  }

  get leases(): Leases {
    return this.#leases;
  }

  get view(): LockView {
    return this.#view;
  }

  /** How many locks are held. */
  get held(): number {
    return this.leases.held.count;
  }

  /** The nodes that are known to grant nothing new. */
  get paused(): readonly PausedNode[] {
    return [...this.#pauses]
      .map(([node, { over, why }]) => ({ node, remaining: over.remaining, why }))
      .filter(({ remaining }) => remaining > 0);
  }

  presentHoldersDone(): Promise<void> {
    return this.leases.held.presentHoldersDone();
  }

  allReleased(): Promise<void> {
    return this.leases.held.allReleased();
  }

  /** Asks the holders to finish, and refuses what others ask. */
  drain(): void {
    this.leases.drain();
  }

  /** Gives back what is held, and closes the connection. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.leases.close();
    this.#leaveStats();
    await this.connection.close();
  }
}
