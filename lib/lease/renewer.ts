import type { BackendConnection, LeaseRenewal } from '../backends/lock-backend.js';
import { Instant, type Deadline } from '../clock.js';

/** Few enough that one call does not hold up the others at the backend. */
const BATCH = 500;

/** What is told of its renewals. */
export interface Renewable {
  /** @param since a moment before the renewal was sent */
  renewed(renewal: Renewal, since: Instant): void;
  /** The backend says that it is not ours any more. */
  notOwned(): void;
  unanswered(renewal: Renewal, error: unknown): void;
}

export interface Renewal {
  readonly asked: LeaseRenewal;
  readonly lease: Renewable;
  /** Until when it is waited for before the next one is sent. */
  readonly patience: Deadline;
  /** Called after the lease was told, with the error when the backend did not answer. */
  readonly settled: ((failure?: unknown) => void) | undefined;
}

/** Sends the renewals of all leases of a process that fall due together as one request. */
export class Renewer {
  #batch: Renewal[] = [];
  #planned: NodeJS.Immediate | undefined;

  constructor(private readonly connection: BackendConnection) {}

  renew(renewal: Renewal, urgent: boolean): void {
    this.#batch.push(renewal);
    if (urgent) this.#send();
    else
      this.#planned ??= setImmediate(() => {
        this.#send();
      });
  }

  #send(): void {
    clearImmediate(this.#planned);
    this.#planned = undefined;
    const renewals = this.#batch;
    this.#batch = [];
    for (let first = 0; first < renewals.length; first += BATCH) {
      void this.#sendBatch(renewals.slice(first, first + BATCH));
    }
  }

  async #sendBatch(renewals: Renewal[]): Promise<void> {
    const since = Instant.now();
    try {
      const answers = await this.connection.renew(renewals.map(({ asked }) => asked));
      renewals.forEach((renewal, index) => {
        tell(renewal, answers[index] ?? false, since);
      });
    } catch (error) {
      for (const renewal of renewals) tell(renewal, error as Error, since);
    }
  }
}

function tell(renewal: Renewal, answer: boolean | Error, since: Instant): void {
  const { lease, settled } = renewal;
  const failed = typeof answer !== 'boolean';
  if (failed) lease.unanswered(renewal, answer);
  else if (answer) lease.renewed(renewal, since);
  else lease.notOwned();
  settled?.(failed ? answer : undefined);
}
