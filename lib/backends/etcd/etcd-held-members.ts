import { Deadline, Instant, wallTimeIn } from '../../time/clock.js';
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
import type { HeldMember, Ownership } from './held-member.js';
import { kvsRead } from './operations.js';

/** So many leases are checked in one transaction; a server refuses more than 128 by default. */
const BATCH = 64;

/** What a transaction says of a batch of heldMembers. */
interface Check {
  readonly stamp: Stamp;
  /** Those that are not as they were expected to be, with what was found. */
  readonly differing: ReadonlyMap<HeldMember, IKeyValue | undefined>;
}

/**
 * The leases that this process holds. Locks of one ttl share a session: so each ends by itself here,
 * when it was not renewed, by being deleted at its time.
 */
export class EtcdHeldMembers {
  readonly #heldMembers = new Map<string, HeldMember>();
  readonly #alarms = new Alarms();

  constructor(
    private readonly calls: EtcdCalls,
    private readonly sessions: EtcdSessions,
    private readonly withdrawals: EtcdWithdrawals,
    private readonly names: EtcdNames,
    /** Told of a lease that the server ended before its time. */
    private readonly lost: (id: string) => void,
  ) {}

  get(id: string): HeldMember | undefined {
    return this.#heldMembers.get(id);
  }

  /** Our own that stands at the server by this name. */
  named(name: Buffer): HeldMember | undefined {
    return [...this.#heldMembers.values()].find((held) => held.name.equals(name));
  }

  add({ id, ttl, mode, limit }: LockRequest, owned: Ownership): Grant {
    const { name, token, created, modified, session, alive, shown, unanswered } = owned;
    if (session.hasEnded()) throw new ChangedMeanwhileError('the session has ended');
    const since = session.startOf(ttl, alive, shown);
    const ends = new Deadline(since, ttl);
    const known = this.#heldMembers.get(id);
    if (known !== undefined) {
      for (const [attempt, where] of unanswered) known.unanswered.set(attempt, where);
      this.prolong(known, ends);
    } else {
      const disarm = () => undefined;
      const since = wallTimeIn(0);
      const state = { id, mode, limit, progress: 'granted', since, token } as const;
      const position = { id, name, created, modified, state, session };
      const held = { ...position, ends, disarm, released: false, unanswered };
      this.#heldMembers.set(id, held);
      this.#join(held, session);
      this.#arm(held);
    }
    const guard = [name.toString(), 'Create', '==', created] as const;
    return { state: 'granted', token, since, ttl, guard };
  }

  forget(held: HeldMember): void {
    this.letGo(held);
    this.names.spoil(held.name);
  }

  /** Its member is there still, and somebody else's concern from now on. */
  letGo(held: HeldMember): void {
    if (this.#heldMembers.get(held.id) === held) this.#heldMembers.delete(held.id);
    held.disarm();
    held.session.leave(held);
  }

  /** Never shorter. */
  prolong(held: HeldMember, ends: Deadline): void {
    if (ends.remaining > held.ends.remaining) held.ends = ends;
  }

  /** It was taken from its holder. */
  lose(id: string): void {
    const held = this.#heldMembers.get(id);
    if (held === undefined) return;
    this.forget(held);
    if (!held.released) this.lost(id);
  }

  /** Makes a reader of its holder. @param again as in {@link renew} */
  async downgrade(id: string, again = true): Promise<boolean> {
    const held = this.#heldMembers.get(id);
    if (held === undefined || held.released || held.ends.passed) return false;
    // From now on: what is asked of it beside this must not make a writer of it again.
    held.state = { ...held.state, mode: 'shared' };
    const { session } = held;
    try {
      const reply = await this.#change(held, session);
      if (!reply.succeeded) return this.#differs(held, kvsRead(reply)[0]?.[0]);
      this.#moved(held, session, reply.stamp.revision);
      return this.#heldMembers.get(id) === held;
    } catch (error) {
      if (!again || !(error instanceof ChangedMeanwhileError)) throw error;
      return this.downgrade(id, false);
    }
  }

  /** @param again whether to try once more what was found to be otherwise than it was left */
  async renew(leases: readonly LeaseRenewal[], again = true): Promise<(boolean | Error)[]> {
    const called = Instant.now();
    const answers = new Map<LeaseIdentity, Promise<boolean>>();
    const staying: [LeaseRenewal, HeldMember][] = [];
    for (const lease of leases) {
      const held = this.#heldMembers.get(lease.id);
      if (held === undefined || held.ends.passed) continue;
      if (lease.ttl <= held.session.ttl) staying.push([lease, held]);
      else answers.set(lease, this.#move(lease, held, called));
    }
    for (let first = 0; first < staying.length; first += BATCH) {
      const batch = staying.slice(first, first + BATCH);
      const read = this.#check(batch.map(([, held]) => held));
      for (const [lease, held] of batch) {
        answers.set(lease, this.#stay(lease, held, called, read));
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

  async #check(heldMembers: readonly HeldMember[]): Promise<Check> {
    // As they are now: a renewal of another ttl may move one meanwhile.
    const expected = heldMembers.map(({ name, modified }) => ({ name, modified }));
    const patience = Math.min(...heldMembers.map(({ session }) => session.patience));
    const reply = await this.calls.txn(checkTxn(expected), { patience });
    const found = kvsRead(reply);
    return {
      stamp: reply.stamp,
      differing: new Map(
        reply.succeeded
          ? []
          : heldMembers.flatMap((held, n) => {
              const kv = found[n]?.[0];
              const same = kv?.mod_revision === expected[n]?.modified;
              return same ? [] : [[held, kv] as const];
            }),
      ),
    };
  }

  async #stay(
    { ttl }: LeaseRenewal,
    held: HeldMember,
    called: Instant,
    check: Promise<Check>,
  ): Promise<boolean> {
    const { session } = held;
    const [alive, { stamp, differing }] = await Promise.all([session.beat(), check]);
    if (differing.has(held)) return this.#differs(held, differing.get(held));
    return this.#renewed(held, session, ttl, called, alive, stamp);
  }

  /** To a session of the new ttl, which is longer than what its own can give. */
  async #move(lease: LeaseRenewal, held: HeldMember, called: Instant): Promise<boolean> {
    const session = await this.sessions.of(lease.ttl);
    // Else it could end meanwhile, as one that nobody uses.
    session.join(lease, () => undefined);
    try {
      const [alive, reply] = await Promise.all([session.beat(), this.#change(held, session)]);
      if (!reply.succeeded) return this.#differs(held, kvsRead(reply)[0]?.[0]);
      this.#moved(held, session, reply.stamp.revision);
      return this.#renewed(held, session, lease.ttl, called, alive, reply.stamp);
    } finally {
      session.leave(lease);
    }
  }

  #change({ name, modified, state }: HeldMember, session: EtcdSession): Promise<TxnReply> {
    return this.calls.txn(changeTxn(name, modified, state, session.id));
  }

  #renewed(
    held: HeldMember,
    session: EtcdSession,
    ttl: number,
    called: Instant,
    alive: Stamp,
    stamp: Stamp,
  ): boolean {
    // Meanwhile it may have ended, or been given back: no late answer revives it.
    if (this.#heldMembers.get(held.id) !== held || held.ends.passed) return false;
    if (session.hasEnded()) return false;
    session.startOf(ttl, alive, stamp);
    this.prolong(held, new Deadline(called, ttl));
    return true;
  }

  /** It is not as it was left: it is gone, or a renewal whose answer was lost moved it. */
  #differs(held: HeldMember, found: IKeyValue | undefined): boolean {
    if (this.#heldMembers.get(held.id) !== held) return false;
    const session = found && this.sessions.on(found.lease);
    if (found?.create_revision !== held.created || session === undefined) {
      this.forget(held);
      return false;
    }
    if (found.mod_revision !== held.modified) this.#moved(held, session, found.mod_revision);
    throw new ChangedMeanwhileError('the lease was moved meanwhile');
  }

  #moved(held: HeldMember, session: EtcdSession, modified: string): void {
    held.modified = modified;
    if (this.#heldMembers.get(held.id) !== held) return;
    held.session.leave(held);
    held.session = session;
    this.#join(held, session);
  }

  #join(held: HeldMember, session: EtcdSession): void {
    session.join(held, () => {
      this.forget(held);
      if (!held.released && !held.ends.passed) this.lost(held.id);
    });
  }

  #arm(held: HeldMember): void {
    held.disarm = this.#alarms.set(held.ends, () => {
      if (!held.ends.passed) {
        this.#arm(held);
        return;
      }
      const { name, created, session, unanswered } = held;
      this.forget(held);
      this.withdrawals.inBackground({ name, created, sessions: [session], unanswered });
    });
  }
}
