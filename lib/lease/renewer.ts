import type { BackendConnection, LeaseRenewal } from '../backends/lock-backend.js';
import { Instant } from '../clock.js';

/** Few enough that one call does not hold up the others at the backend. */
const BATCH = 500;

interface Turn {
  readonly lease: LeaseRenewal;
  resolve(since: Instant | undefined): void;
  reject(error: unknown): void;
}

/** Sends the renewals of all leases of a process that fall due together as one request. */
export class Renewer {
  #batch: Turn[] = [];
  #planned: NodeJS.Immediate | undefined;

  constructor(private readonly connection: BackendConnection) {}

  /**
   * Resolves to a moment before the renewal was sent, or to undefined when the lease was not ours
   * any more; rejects when the backend did not answer.
   */
  renew(lease: LeaseRenewal, urgent: boolean): Promise<Instant | undefined> {
    return new Promise((resolve, reject) => {
      this.#batch.push({ lease, resolve, reject });
      if (urgent) this.#send();
      else
        this.#planned ??= setImmediate(() => {
          this.#send();
        });
    });
  }

  #send(): void {
    clearImmediate(this.#planned);
    this.#planned = undefined;
    const turns = this.#batch;
    this.#batch = [];
    for (let first = 0; first < turns.length; first += BATCH) {
      void this.#sendBatch(turns.slice(first, first + BATCH));
    }
  }

  async #sendBatch(turns: Turn[]): Promise<void> {
    const since = Instant.now();
    try {
      const renewed = await this.connection.renew(turns.map((turn) => turn.lease));
      turns.forEach((turn, index) => {
        const answer = renewed[index];
        if (answer instanceof Error) turn.reject(answer);
        else turn.resolve(answer ? since : undefined);
      });
    } catch (error) {
      for (const turn of turns) turn.reject(error);
    }
  }
}
