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
  readonly connection: BackendConnection;
  readonly leases: Leases;
  readonly view: LockView;
  readonly #keeper: Keeper;

  constructor(backend: LockBackend, label: string, warn: (message: string) => void) {
    const processId = makeProcessId(label);
    const connection = backend.connect({
      id: processId,
      warn,
      lost: (id) => {
        leases.lose(id);
      },
      revoked: (id, revocation) => {
        leases.revoke(id, revocation);
      },
    });
    const leases = new Leases({ processId, backendName: backend.name, connection, warn });
    this.connection = connection;
    this.leases = leases;
    this.view = new LockView(processId, connection, leases);
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
}
