import type { BackendConnection, LockBackend } from './backends/lock-backend.js';
import { readDuration } from './duration.js';
import type { Holding } from './lease/holding.js';
import { Leases } from './lease/leases.js';
import { LockHandle, type Keeper } from './lock-handle.js';
import { checkTtl } from './lock-options.js';
import { LockView } from './lock-view.js';
import { makeProcessId } from './owner.js';

/** What a LockService has from its first use on: a connection, and the leases it holds by that. */
export class LockSession {
  // Private by name: what is behind it, down to the client's password, is for no printer.
  readonly #connection: BackendConnection;
  readonly #leases: Leases;
  readonly #view: LockView;
  readonly #keeper: Keeper;
  #closed: Promise<void> | undefined;

  constructor(backend: LockBackend, label: string, warn: (message: string) => void) {
    const processId = makeProcessId(label);
    // A backend may tell of something as soon as it connects.
    const told: { leases?: Leases } = {};
    const connection = backend.connect({
      id: processId,
      warn,
      lost: (id, token) => {
        told.leases?.lose(id, token);
      },
      revoked: (id, revocation) => {
        told.leases?.revoke(id, revocation);
      },
    });
    const leases = new Leases({ processId, backendName: backend.name, connection, warn });
    told.leases = leases;
    this.#connection = connection;
    this.#leases = leases;
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
  readonly handle = (holding: Holding): LockHandle => new LockHandle(holding, this.#keeper);

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
    return this.leases.held;
  }

  presentHoldersDone(): Promise<void> {
    return this.leases.presentHoldersDone();
  }

  allReleased(): Promise<void> {
    return this.leases.allReleased();
  }

  /** Asks the holders to finish, and refuses what others ask. */
  drain(): void {
    this.leases.drain();
  }

  /** Gives back what is held, and closes the connection. */
  close(): Promise<void> {
    return (this.#closed ??= this.leases.close().then(() => this.connection.close()));
  }
}
