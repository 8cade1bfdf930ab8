import { Deadline, Instant, wallTimeIn } from '../../clock.js';
import type { IKeyValue } from 'etcd3';
import { Alarms } from './alarms.js';
import type { Grant, LeaseIdentity, LeaseRenewal, LockRequest } from '../lock-backend.js';
import type { EtcdCalls, Stamp, TxnReply } from './etcd-calls.js';
import { ChangedMeanwhileError } from './etcd-errors.js';
import type { EtcdNames } from './etcd-names.js';
import type { EtcdSession } from './etcd-session.js';
import type { EtcdSessions } from './etcd-sessions.js';
import type { EtcdWithdrawals } from './etcd-withdrawals.js';
import { changeTxn, checkTxn } from './holder-transactions.js';
import type { Holding, Ownership } from './holding.js';
import { kvsRead } from './operations.js';

/** So many leases are checked in one transaction; a server refuses more than 128 by default. */
const BATCH = 64;

/** What a transaction says of a batch of holdings. */
interface Check {
  readonly stamp: Stamp;
  /** Those that are not as they were expected to be, with what was found. */
  readonly differing: ReadonlyMap<Holding, IKeyValue | undefined>;
}

/**
 * The leases that this process holds. Locks of one ttl share a session: so each ends by itself here,
 * when it was not renewed, by being deleted at its time.
 */
export class EtcdHoldings {
  readonly #holdings = new Map<string, Holding>();
  readonly #alarms = new Alarms();

  constructor(
    private readonly calls: EtcdCalls,
    private readonly sessions: EtcdSessions,
    private readonly withdrawals: EtcdWithdrawals,
    private readonly names: EtcdNames,
    /** Told of a lease that the server ended before its time. */
    private readonly lost: (id: string) => void,
  ) {}

  get(id: string): Holding | undefined {
    return this.#holdings.get(id);
  }

  /** Our own that stands at the server by this name. */
  named(name: Buffer): Holding | undefined {
    return [...this.#holdings.values()].find((holding) => holding.name.equals(name));
  }

  add({ id, ttl, mode, limit }: LockRequest, owned: Ownership): Grant {
    const { name, token, created, modified, session, alive, shown, unanswered } = owned;
    if (session.hasEnded()) throw new ChangedMeanwhileError('the session has ended');
    const since = session.startOf(ttl, alive, shown);
    const ends = new Deadline(since, ttl);
    const known = this.#holdings.get(id);
    if (known !== undefined) {
      for (const [attempt, where] of unanswered) known.unanswered.set(attempt, where);
      this.prolong(known, ends);
    } else {
      const disarm = () => undefined;
      const since = wallTimeIn(0);
      const state = { id, mode, limit, progress: 'granted', since, token } as const;
      const position = { id, name, created, modified, state, session };
      const holding = { ...position, ends, disarm, released: false, unanswered };
      this.#holdings.set(id, holding);
      this.#join(holding, session);
      this.#arm(holding);
    }
    const guard = [name.toString(), 'Create', '==', created] as const;
    return { state: 'granted', token, since, ttl, guard };
  }

  forget(holding: Holding): void {
    this.handOver(holding);
    this.names.spoil(holding.name);
  }

  /** Its member is there still, and somebody else's concern from now on. */
  handOver(holding: Holding): void {
    if (this.#holdings.get(holding.id) === holding) this.#holdings.delete(holding.id);
    holding.disarm();
    holding.session.leave(holding);
  }

  /** Never shorter. */
  prolong(holding: Holding, ends: Deadline): void {
    if (ends.remaining > holding.ends.remaining) holding.ends = ends;
  }

  /** It was taken from its holder. */
  lose(id: string): void {
    const holding = this.#holdings.get(id);
    if (holding === undefined) return;
    this.forget(holding);
    if (!holding.released) this.lost(id);
  }

  /** Makes a reader of its holder. @param again as in {@link renew} */
  async downgrade(id: string, again = true): Promise<boolean> {
    const holding = this.#holdings.get(id);
    if (holding === undefined || holding.released || holding.ends.passed) return false;
    // From now on: what is asked of it beside this must not make a writer of it again.
    holding.state = { ...holding.state, mode: 'shared' };
    const { session } = holding;
    try {
      const reply = await this.#change(holding, session);
      if (!reply.succeeded) return this.#differs(holding, kvsRead(reply)[0]?.[0]);
      this.#moved(holding, session, reply.stamp.revision);
      return this.#holdings.get(id) === holding;
    } catch (error) {
      if (!again || !(error instanceof ChangedMeanwhileError)) throw error;
      return this.downgrade(id, false);
    }
  }

  /** @param again whether to try once more what was found to be otherwise than it was left */
  async renew(leases: readonly LeaseRenewal[], again = true): Promise<(boolean | Error)[]> {
    const called = Instant.now();
    const answers = new Map<LeaseIdentity, Promise<boolean>>();
    const staying: [LeaseRenewal, Holding][] = [];
    for (const lease of leases) {
      const holding = this.#holdings.get(lease.id);
      if (holding === undefined || holding.ends.passed) continue;
      if (lease.ttl <= holding.session.ttl) staying.push([lease, holding]);
      else answers.set(lease, this.#move(lease, holding, called));
    }
    for (let first = 0; first < staying.length; first += BATCH) {
      const batch = staying.slice(first, first + BATCH);
      const read = this.#check(batch.map(([, holding]) => holding));
      for (const [lease, holding] of batch) {
        answers.set(lease, this.#stay(lease, holding, called, read));
      }
    }
    return Promise.all(
      leases.map(async (lease) => {
        try {
          return (await answers.get(lease)) ?? false;
        } catch (error) {
          if (!again || !(error instanceof ChangedMeanwhileError)) return error as Error;
          const [answer = false] = await this.renew([lease], false);
          return answer;
        }
      }),
    );
  }

  close(): void {
    this.#alarms.clear();
  }

  async #check(holdings: readonly Holding[]): Promise<Check> {
    // As they are now: a renewal of another ttl may move one meanwhile.
    const expected = holdings.map(({ name, modified }) => ({ name, modified }));
    const patience = Math.min(...holdings.map(({ session }) => session.patience));
    const reply = await this.calls.txn(checkTxn(expected), patience);
    const found = kvsRead(reply);
    return {
      stamp: reply.stamp,
      differing: new Map(
        reply.succeeded
          ? []
          : holdings.flatMap((holding, n) => {
              const kv = found[n]?.[0];
              const same = kv?.mod_revision === expected[n]?.modified;
              return same ? [] : [[holding, kv] as const];
            }),
      ),
    };
  }

  async #stay(
    { ttl }: LeaseRenewal,
    holding: Holding,
    called: Instant,
    check: Promise<Check>,
  ): Promise<boolean> {
    const { session } = holding;
    const [alive, { stamp, differing }] = await Promise.all([session.beat(), check]);
    if (differing.has(holding)) return this.#differs(holding, differing.get(holding));
    return this.#renewed(holding, session, ttl, called, alive, stamp);
  }

  /** To a session of the new ttl, which is longer than what its own can give. */
  async #move(lease: LeaseRenewal, holding: Holding, called: Instant): Promise<boolean> {
    const session = await this.sessions.of(lease.ttl);
    // Else it could end meanwhile, as one that nobody uses.
    session.join(lease, () => undefined);
    try {
      const [alive, reply] = await Promise.all([session.beat(), this.#change(holding, session)]);
      if (!reply.succeeded) return this.#differs(holding, kvsRead(reply)[0]?.[0]);
      this.#moved(holding, session, reply.stamp.revision);
      return this.#renewed(holding, session, lease.ttl, called, alive, reply.stamp);
    } finally {
      session.leave(lease);
    }
  }

  #change({ name, modified, state }: Holding, session: EtcdSession): Promise<TxnReply> {
    return this.calls.txn(changeTxn(name, modified, state, session.id));
  }

  #renewed(
    holding: Holding,
    session: EtcdSession,
    ttl: number,
    called: Instant,
    alive: Stamp,
    stamp: Stamp,
  ): boolean {
    // Meanwhile it may have ended, or been given back: no late answer revives it.
    if (this.#holdings.get(holding.id) !== holding || holding.ends.passed) return false;
    if (session.hasEnded()) return false;
    session.startOf(ttl, alive, stamp);
    this.prolong(holding, new Deadline(called, ttl));
    return true;
  }

  /** It is not as it was left: it is gone, or a renewal whose answer was lost moved it. */
  #differs(holding: Holding, found: IKeyValue | undefined): boolean {
    if (this.#holdings.get(holding.id) !== holding) return false;
    const session = found && this.sessions.on(found.lease);
    if (found?.create_revision !== holding.created || session === undefined) {
      this.forget(holding);
      return false;
    }
    if (found.mod_revision !== holding.modified) this.#moved(holding, session, found.mod_revision);
    throw new ChangedMeanwhileError('the lease was moved meanwhile');
  }

  #moved(holding: Holding, session: EtcdSession, modified: string): void {
    holding.modified = modified;
    if (this.#holdings.get(holding.id) !== holding) return;
    holding.session.leave(holding);
    holding.session = session;
    this.#join(holding, session);
  }

  #join(holding: Holding, session: EtcdSession): void {
    session.join(holding, () => {
      this.forget(holding);
      if (!holding.released && !holding.ends.passed) this.lost(holding.id);
    });
  }

  #arm(holding: Holding): void {
    holding.disarm = this.#alarms.set(holding.ends, () => {
      if (!holding.ends.passed) {
        this.#arm(holding);
        return;
      }
      const { name, created, session, unanswered } = holding;
      this.forget(holding);
      this.withdrawals.inBackground({ name, created, sessions: [session], unanswered });
    });
  }
}
