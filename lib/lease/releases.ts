import type { BackendConnection, LeaseIdentity, LockRequest } from '../backends/lock-backend.js';
import { Alarm, Deadline, pause, within } from '../clock.js';
import type { Lease } from './lease.js';
import { promised } from './promised.js';

/** Who releases waits this long for a backend that hangs, in milliseconds; then we go on alone. */
const RELEASE_PATIENCE = 2_000;

/** Between two tries of a release that was not answered, in milliseconds. */
const RELEASE_RETRY = 100;

export type BackendOutcome = 'released' | 'stolen' | 'unconfirmed';

export interface ReleasesContext {
  readonly backendName: string;
  readonly connection: BackendConnection;
  readonly warn: (message: string) => void;
}

/** Gives back to the backend what is not wanted any more, and knows how much of that is under way. */
export class Releases {
  #underWay = 0;
  #whenDone: () => void = () => undefined;
  #closed = false;

  constructor(private readonly context: ReleasesContext) {}

  /**
   * Ends a lease. Resolves after two seconds at the latest, also when the backend hangs; it is tried
   * on without the caller then. Never rejects.
   */
  release(lease: Lease): Promise<BackendOutcome> {
    return new Promise((resolve) => {
      let told = false;
      const tell = (outcome: BackendOutcome) => {
        if (told) return;
        told = true;
        patience.off();
        if (outcome === 'unconfirmed') this.#warnOf(lease);
        resolve(outcome);
      };
      const patience = new Alarm(Deadline.in(RELEASE_PATIENCE), () => tell('unconfirmed'), true);
      this.#underWay++;
      promised(() => this.context.connection.release(lease)).then(
        (released) => {
          this.#over();
          tell(released ? 'released' : 'stolen');
        },
        async () => {
          const outcome = await this.#tryAgain(lease);
          this.#over();
          tell(outcome);
        },
      );
    });
  }

  /** Gives back a lease that its holder has lost, as what is left of it would only keep others waiting. */
  abandon(lease: LeaseIdentity): void {
    this.#inBackground(() => this.context.connection.release(lease));
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
        await this.context.connection.release(lease);
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

  #inBackground(work: () => Promise<unknown>): void {
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
