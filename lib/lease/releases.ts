import type { BackendConnection, LockRequest } from '../backends/lock-backend.js';
import { Alarm, Deadline, pause, within } from '../time/clock.js';
import type { Reporter } from '../telemetry/reporter.js';
import type { Lease, LeaseHolding } from './lease.js';
import { whenAnswered } from './when-answered.js';

/** Who releases waits this long for a backend that hangs, in milliseconds; then we go on alone. */
const RELEASE_PATIENCE = 2_000;

/** Between two tries of a release that was not answered, in milliseconds. */
const RELEASE_RETRY = 100;

export type BackendOutcome = 'released' | 'stolen' | 'unconfirmed';

export interface ReleasesContext {
  readonly backendName: string;
  readonly connection: BackendConnection;
  readonly warn: (message: string) => void;
  readonly reporter: Reporter;
}

/** Gives back to the backend what is not wanted any more, and knows how much of that is under way. */
export class Releases {
  #underWay = 0;
  #whenDone: () => void = () => undefined;
  #closed = false;

  constructor(private readonly context: ReleasesContext) {}

  /**
   * Ends the lease of its last holder. Resolves after two seconds at the latest, also when the backend
   * hangs; it is tried on without the caller then. Never rejects.
   */
  release(holding: LeaseHolding): BackendOutcome | Promise<BackendOutcome> {
    const { lease } = holding;
    let outcome: BackendOutcome | undefined;
    let settle: ((outcome: BackendOutcome) => void) | undefined;
    const tell = (told: BackendOutcome) => {
      if (outcome !== undefined) return;
      outcome = told;
      if (told === 'unconfirmed') this.#warnOf(lease);
      if (told === 'stolen') this.context.reporter.lost(holding, holding.endedAsStolen());
      settle?.(told);
    };
    this.#underWay++;
    whenAnswered(
      () => this.context.connection.release(lease, lease.keptFor),
      (released) => {
        this.#over();
        tell(released ? 'released' : 'stolen');
      },
      () => {
        void this.#tryAgain(lease).then((again) => {
          this.#over();
          tell(again);
        });
      },
    );
    if (outcome !== undefined) return outcome;
    return new Promise((resolve) => {
      const late = Alarm.in(RELEASE_PATIENCE, () => tell('unconfirmed'), true);
      settle = (told) => {
        late.off();
        resolve(told);
      };
    });
  }

  /** Gives back a lease that its holder has lost, as what is left of it would only keep others waiting. */
  abandon(lease: Lease): void {
    this.#inBackground(() => this.context.connection.release(lease, lease.keptFor));
  }

  withdraw(request: LockRequest): void {
    this.#inBackground(() => this.context.connection.cancel(request));
  }

  /** Waits for what is under way, but not for a backend that hangs; it is asked nothing afterwards. */
  async close(): Promise<void> {
    if (this.#underWay > 0) {
      const done = new Promise<void>((resolve) => {
        this.#whenDone = resolve;
      });
      await within(RELEASE_PATIENCE, done);
    }
    this.#closed = true;
  }

  /** Tries on after a try that was not answered, until the lease must have ended by itself. */
  async #tryAgain(lease: Lease): Promise<BackendOutcome> {
    const pointless = Deadline.in(lease.ttl);
    for (;;) {
      await pause(RELEASE_RETRY);
      if (pointless.passed || this.#closed) return 'unconfirmed';
      try {
        await this.context.connection.release(lease, lease.keptFor);
        // "Not yours" is then most likely the work of a try whose answer was lost.
        return 'released';
      } catch {
        continue;
      }
    }
  }

  #warnOf({ key, ttl }: Lease): void {
    const { backendName, warn } = this.context;
    warn(
      `The release of lock "${key}" was not confirmed by ${backendName}; ` +
        `others may have to wait until its ttl of ${ttl} ms is over.`,
    );
  }

  #inBackground(work: () => unknown): void {
    if (this.#closed) return;
    this.#underWay++;
    const over = () => {
      this.#over();
    };
    Promise.resolve().then(work).then(over, over);
  }

  #over(): void {
    if (--this.#underWay === 0) this.#whenDone();
  }
}
