import type { BackendConnection, LeaseRenewal } from '../backends/lock-backend.js';
import type { Link } from '../structures/chain.js';
import { Deadline, Instant } from '../time/clock.js';
import type { Reporter } from '../telemetry/reporter.js';
import { afterThisCall, afterThisTurn } from '../time/timers.js';
import { Rounds, ROUND, type Traveller } from './rounds.js';
import { validUntil } from './validity.js';

/** What is renewed, and told of it. */
export interface Renewable extends Traveller {
  readonly ttl: number;
  /** Which share of the time is gone for which it may be believed in. */
  readonly used: number;
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

/** Sends the renewals of all leases of a process that fall due together as one request. */
export class Renewer {
  /** By ttl. */
  readonly #rounds = new Map<number, Rounds>();
  #batch: Renewal[] = [];
  /** Whether the batch is about to be sent. */
  #urgent = false;

  constructor(
    private readonly connection: BackendConnection,
    private readonly reporter: Reporter,
  ) {}

  /** Has it renewed together with others of its ttl, again and again until it leaves. */
  join(lease: Renewable): Link<Traveller> {
    const { ttl } = lease;
    let rounds = this.#rounds.get(ttl);
    if (rounds === undefined) {
      rounds = new Rounds(ttl, () => this.#rounds.delete(ttl));
      this.#rounds.set(ttl, rounds);
    }
    return rounds.join(lease);
  }

  /** @param urgent before anything is done under the lease, but with others that were granted in one message */
  renew(renewal: Renewal, urgent: boolean): void {
    const gathered = this.#batch.push(renewal);
    if (urgent && !this.#urgent) {
      this.#urgent = true;
      afterThisCall(() => this.#send());
    } else if (gathered === 1) {
      afterThisTurn(() => this.#send());
    }
  }

  /** No lease is held any more. */
  close(): void {
    for (const rounds of this.#rounds.values()) rounds.close();
  }

  #send(): void {
    const renewals = this.#batch;
    this.#batch = [];
    this.#urgent = false;
    for (let first = 0; first < renewals.length; first += ROUND) {
      void this.#sendBatch(renewals.slice(first, first + ROUND));
    }
  }

  async #sendBatch(renewals: Renewal[]): Promise<void> {
    const since = Instant.now();
    try {
      const answers = await this.connection.renew(renewals.map(({ asked }) => asked));
      if (this.reporter.hearsOfRenewals) this.#report(renewals, answers, since);
      tellAll(renewals, answers, since);
    } catch (error) {
      tellAll(renewals, new Array<Error>(renewals.length).fill(error as Error), since);
    }
  }

  /** Before they are told, and so valid for longer. */
  #report(
    renewals: readonly Renewal[],
    answers: readonly (boolean | Error)[],
    { elapsed: duration }: Instant,
  ): void {
    const renewed = renewals.filter((_, index) => answers[index] === true);
    if (renewed.length === 0) return;
    const utilization = Math.max(...renewed.map(({ lease }) => lease.used));
    this.reporter.renewed({ leases: renewed.length, duration, utilization });
  }
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
