import type { BackendConnection, LeaseRenewal } from '../backends/lock-backend.js';
import { Alarm, Deadline, Instant } from '../clock.js';
import { validUntil } from './validity.js';

/** Few enough that one call does not hold up the others at the backend. */
const BATCH = 500;

/** What is renewed, and told of it. */
export interface Renewable {
  readonly ttl: number;
  /** Its round has come. Until `patience` is over the renewal is waited for before the next one. */
  due(patience: Deadline): void;
  /** @param validity until when it may be believed in, by this renewal */
  renewed(validity: Deadline): void;
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

/** Leases of one ttl whose next renewals travel together: one timer for all of them. */
export interface Round {
  readonly leases: Set<Renewable>;
  readonly alarm: Alarm;
  /** Calls the timer off when the last one leaves. */
  leave(lease: Renewable): void;
}

/** Sends the renewals of all leases of a process that fall due together as one request. */
export class Renewer {
  /** By ttl and, on its grid, the time at which they are due. */
  readonly #rounds = new Map<string, Round>();
  #batch: Renewal[] = [];
  #planned: NodeJS.Immediate | undefined;

  constructor(private readonly connection: BackendConnection) {}

  /** Has it renewed together with others of its ttl, after about a third of that. */
  join(lease: Renewable): Round {
    const { ttl } = lease;
    const delay = renewalDelay(ttl);
    const name = `${ttl} ${Math.round(performance.now() + delay)}`;
    const round = this.#rounds.get(name) ?? this.#begin(name, ttl, delay);
    round.leases.add(lease);
    return round;
  }

  renew(renewal: Renewal, urgent: boolean): void {
    this.#batch.push(renewal);
    if (urgent) this.#send();
    else
      this.#planned ??= setImmediate(() => {
        this.#send();
      });
  }

  #begin(name: string, ttl: number, delay: number): Round {
    const leases = new Set<Renewable>();
    const alarm = new Alarm(Deadline.in(delay), () => {
      this.#rounds.delete(name);
      const patience = Deadline.in(ttl / 3);
      for (const lease of leases) lease.due(patience);
    });
    const leave = (lease: Renewable) => {
      if (!leases.delete(lease) || leases.size > 0) return;
      alarm.off();
      if (this.#rounds.get(name) === round) this.#rounds.delete(name);
    };
    const round = { leases, alarm, leave };
    this.#rounds.set(name, round);
    return round;
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
      tellAll(renewals, answers, since);
    } catch (error) {
      tellAll(renewals, new Array<Error>(renewals.length).fill(error as Error), since);
    }
  }
}

/** A third of the ttl, drawn to a common grid so that the renewals of one process travel together. */
export function renewalDelay(ttl: number): number {
  const grid = ttl / 30;
  return ttl / 3 - ((performance.now() + ttl / 3) % grid);
}

function tellAll(
  renewals: readonly Renewal[],
  answers: readonly (boolean | Error)[],
  since: Instant,
): void {
  // Most leases of a process have one ttl, and so one deadline.
  let [ttl, validity] = [0, Deadline.in(0)];
  renewals.forEach((renewal, index) => {
    const { asked, lease, settled } = renewal;
    const answer = answers[index] ?? false;
    const failed = typeof answer !== 'boolean';
    if (failed) {
      lease.unanswered(renewal, answer);
    } else if (answer) {
      if (asked.ttl !== ttl) [ttl, validity] = [asked.ttl, validUntil(since, asked.ttl)];
      lease.renewed(validity);
    } else {
      lease.notOwned();
    }
    settled?.(failed ? answer : undefined);
  });
}
