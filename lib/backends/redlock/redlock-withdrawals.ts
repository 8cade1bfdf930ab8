import { Deadline, pause } from '../../time/clock.js';
import type { LeaseIdentity, LeaseMode } from '../lock-backend.js';
import { isReply } from '../redis-common/redis-errors.js';

/** What is still to be taken back when a node comes back. More of it is left to end by its ttl. */
const MOST = 1_000;

/** A lease or a request that is over. */
export interface Departure extends LeaseIdentity {
  readonly mode: LeaseMode;
  /** Until when its key is to be kept taken, if at all, and under which token. */
  readonly kept?: { readonly until: Deadline; readonly token: number } | undefined;
}

interface Debt {
  readonly lease: Departure;
  /** By then nothing of it can be left. */
  readonly over: Deadline;
}

/** Tries of one request that are not answered yet. */
interface Tries {
  count: number;
  /** What was taken back meanwhile: they may have come after it. */
  overtaken: Debt | undefined;
}

/**
 * What requests that are over may have left at one node. Nothing is tried while the node is down,
 * however many they are: all is paid when it comes back.
 */
export class RedlockWithdrawals {
  readonly #debts = new Map<string, Debt>();
  readonly #tries = new Map<string, Tries>();
  /** Until when tries that were not answered may still run at the node, by request id. */
  readonly #strays = new Map<string, Deadline>();
  readonly #payments = new Set<Promise<void>>();
  #closed = false;

  constructor(private readonly leave: (lease: Departure) => Promise<boolean>) {}

  /** Keeps account of whether a try that is void after so many milliseconds may still run. */
  async observe<T>(id: string, life: number, attempt: () => Promise<T>): Promise<T> {
    const mine = Deadline.in(life);
    const tries = this.#tries.get(id) ?? { count: 0, overtaken: undefined };
    this.#tries.set(id, tries);
    tries.count++;
    try {
      const reply = await attempt();
      this.#strays.delete(id);
      return reply;
    } catch (error) {
      if (!isReply(error)) this.#remember(id, mine);
      throw error;
    } finally {
      if (--tries.count === 0) this.#tries.delete(id);
      const { overtaken } = tries;
      if (overtaken !== undefined) {
        this.withdraw(overtaken.lease, overtaken.over.remaining).catch(() => undefined);
      }
    }
  }

  /**
   * Takes back what there is: now, again when a try that was overtaken is answered or a stray one is
   * void, and later when it cannot be done now.
   */
  async withdraw(lease: Departure, life: number): Promise<boolean> {
    const debt = { lease, over: Deadline.in(life) };
    const stray = this.#strays.get(lease.id);
    this.#strays.delete(lease.id);
    if (stray?.passed === false) this.#follow(pause(stray.remaining), debt);
    try {
      const left = await this.leave(lease);
      // A try is sent again when the node did not know the script: then it comes after this one.
      const tries = this.#tries.get(lease.id);
      if (tries !== undefined) tries.overtaken = debt;
      return left;
    } catch (error) {
      if (!isReply(error)) this.#owe(debt);
      throw error;
    }
  }

  /** The node is back. */
  pay(): void {
    const debts = [...this.#debts.values()];
    this.#debts.clear();
    for (const debt of debts) if (!debt.over.passed) this.#follow(Promise.resolve(), debt);
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#debts.clear();
    await Promise.all(this.#payments);
  }

  #follow(start: Promise<void>, debt: Debt): void {
    const payment = start
      .then(() => this.leave(debt.lease))
      .then(
        () => undefined,
        (error: unknown) => {
          if (!isReply(error)) this.#owe(debt);
        },
      )
      .finally(() => this.#payments.delete(payment));
    this.#payments.add(payment);
  }

  #owe(debt: Debt): void {
    if (this.#closed) return;
    const [oldest] = this.#debts.keys();
    if (this.#debts.size >= MOST && oldest !== undefined) this.#debts.delete(oldest);
    this.#debts.set(debt.lease.id, debt);
  }

  #remember(id: string, until: Deadline): void {
    for (const [known, { passed }] of this.#strays) if (passed) this.#strays.delete(known);
    this.#strays.set(id, until);
  }
}
