import { Deadline, pause, within } from '../time/clock.js';
import { livenessFor } from './liveness.js';
import type { LockRequest } from './lock-backend.js';
import type { StoreRequest } from './store-request.js';

export interface WithdrawalsContext {
  /** How long to wait for an answer, in milliseconds. */
  readonly patience: number;
  /** Takes back what there is of a request, once. */
  readonly cancel: (asked: LockRequest) => Promise<void>;
  /** Tries it until it is done, or pointless. */
  readonly insist: (attempt: () => Promise<void>, pointless: () => boolean) => Promise<void>;
}

/**
 * Takes back what nobody wants any more. Nothing of a request is to stay at the server: what was sent and
 * not answered may run after it is over, until it is void.
 */
export class Withdrawals {
  /** Those that nobody waits for but {@link close}. */
  readonly #underWay = new Set<Promise<void>>();
  #closed = false;

  constructor(private readonly context: WithdrawalsContext) {}

  async withdraw(asked: LockRequest): Promise<void> {
    const { cancel, insist, patience } = this.context;
    // By then nothing of it can be left.
    const over = Deadline.in(asked.ttl + livenessFor(patience));
    await insist(
      () => cancel(asked),
      () => over.passed || this.#closed,
    );
  }

  inBackground(asked: LockRequest): void {
    this.#inBackground(this.withdraw(asked));
  }

  /** Once a try that was not answered cannot run any more, if there is one. */
  afterStray({ asked, stray }: StoreRequest): void {
    if (stray === undefined || this.#closed) return;
    this.#inBackground(pause(stray.remaining).then(() => this.withdraw(asked)));
  }

  /** Waits for those that are under way, for as long as for one answer. */
  async close(): Promise<void> {
    await within(this.context.patience, Promise.all(this.#underWay));
    this.#closed = true;
  }

  #inBackground(withdrawal: Promise<void>): void {
    const ended = withdrawal.catch(() => undefined).finally(() => this.#underWay.delete(ended));
    this.#underWay.add(ended);
  }
}
