import type { Deadline } from '../../time/clock.js';
import type { Stamp } from './etcd-calls.js';
import type { EtcdSession } from './etcd-session.js';
import type { MemberState } from './member.js';

/** A member of a queue that owns the lock, and is ours. */
export interface HeldMember {
  readonly id: string;
  readonly name: Buffer;
  /** The revision at which the member was created: it stays the same as long as it is there. */
  readonly created: string;
  /** The revision of its last change. */
  modified: string;
  /** What a change puts down. */
  state: MemberState;
  session: EtcdSession;
  /** When its lease is over unless it is renewed; the session may live on. */
  ends: Deadline;
  disarm: () => void;
  /** Whether its holder gave it back, so that nobody believes in it. */
  released: boolean;
  readonly unanswered: Map<object, EtcdSession>;
}

/** What is known of a member that became the owner. */
export interface Ownership {
  readonly name: Buffer;
  readonly token: number;
  readonly created: string;
  readonly modified: string;
  readonly session: EtcdSession;
  /** The session's sign of life, and the transaction that showed the ownership. */
  readonly alive: Stamp;
  readonly shown: Stamp;
  readonly unanswered: Map<object, EtcdSession>;
}
