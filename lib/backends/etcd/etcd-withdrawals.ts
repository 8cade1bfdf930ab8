import { pause, within } from '../../time/clock.js';
import { isLeaseGone } from './etcd-errors.js';
import type { EtcdCalls } from './etcd-calls.js';
import type { EtcdNames } from './etcd-names.js';
import type { EtcdSession } from './etcd-session.js';
import { withdrawTxn } from './holder-transactions.js';

/** Between two tries of a withdrawal that etcd refuses, in milliseconds. */
const REFUSED_PAUSE = 1_000;

/** A member that is to go. */
export interface Withdrawal {
  readonly name: Buffer;
  /** The revision at which it was created, if only that one may be deleted. */
  readonly created: string | undefined;
  /** Tries to create it that were not answered, and may still be carried out. */
  readonly unanswered: ReadonlyMap<object, EtcdSession>;
}

/** One that is tried until nothing can keep the member alive any more. */
export interface LastingWithdrawal extends Withdrawal {
  /** The sessions that it may be on, or what else keeps it alive. */
  readonly sessions: readonly Pick<EtcdSession, 'hasEnded'>[];
}

/** Deletes what is not wanted any more, so that nothing can bring it back. */
export class EtcdWithdrawals {
  readonly #underWay = new Set<Promise<unknown>>();
  #closed = false;

  constructor(
    private readonly calls: EtcdCalls,
    private readonly names: EtcdNames,
  ) {}

  /** Asks once. Resolves to whether there was such a member. */
  async attempt({ name, created, unanswered }: Withdrawal): Promise<boolean> {
    const sessions = unanswered.size === 0 ? [] : alive(unanswered.values());
    try {
      const { succeeded, stamp } = await this.calls.txn(withdrawTxn(name, created, sessions));
      for (const session of succeeded ? sessions : []) session.markerSeen(stamp.revision);
      // A late withdrawal by the name alone would remove the next one of that name.
      if (succeeded && created !== undefined && unanswered.size === 0) this.names.free(name);
      return succeeded;
    } catch (error) {
      // The keepalive tells which of them.
      if (isLeaseGone(error)) await Promise.allSettled(sessions.map((session) => session.beat()));
      throw error;
    }
  }

  /**
   * Asks until it is done, or everything that could keep the member alive has ended. Rejects when etcd
   * refuses it, and goes on asking all the same: what is refused now, as rights are missing, may be
   * granted later, and until then our own keepalives would keep the key taken for nobody.
   */
  async insist(withdrawal: LastingWithdrawal): Promise<void> {
    const sessions = [...withdrawal.sessions, ...withdrawal.unanswered.values()];
    const pointless = () => this.#closed || sessions.every((session) => session.hasEnded());
    try {
      await this.calls.insist(() => this.attempt(withdrawal), pointless);
    } catch (error) {
      if (!pointless()) {
        void pause(REFUSED_PAUSE)
          .then(() => (pointless() ? undefined : this.insist(withdrawal)))
          .catch(() => undefined);
      }
      throw error;
    } finally {
      this.names.spoil(withdrawal.name);
    }
  }

  /** The same for what nobody waits for but {@link close}. */
  inBackground(withdrawal: LastingWithdrawal, afterwards?: () => Promise<void>): void {
    if (this.#closed) return;
    const settled = this.insist(withdrawal)
      .then(afterwards)
      .catch(() => undefined)
      .finally(() => this.#underWay.delete(settled));
    this.#underWay.add(settled);
  }

  /** Waits for those under way, but for no more than so many milliseconds. */
  async close(ms: number): Promise<void> {
    await within(ms, Promise.all(this.#underWay));
    this.#closed = true;
  }
}

function alive(sessions: Iterable<EtcdSession>): EtcdSession[] {
  return [...new Set(sessions)].filter((session) => !session.hasEnded());
}
