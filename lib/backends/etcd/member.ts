import type { IKeyValue } from 'etcd3';
import { wallTimeIn } from '../../time/clock.js';
import type { LeaseMode, LockRequest } from '../lock-backend.js';

/** Whose a member is, and how it is to hold the key. */
export type Claim = Pick<LockRequest, 'id' | 'mode' | 'limit'>;

/** What stands in the value of a member. */
export interface MemberState extends Claim {
  /** How far it got; `kept` when it was given back and only keeps the key taken for a while. */
  readonly progress: 'waiting' | 'granted' | 'kept';
  /**
   * Since when it waits or has the lock: milliseconds by the wall clock of its process, so that
   * others see it as wrong as the two clocks differ. Nothing but what is shown depends on it.
   */
  readonly since: number;
  /** The token, where it is not the revision of the last change: the member was changed since. */
  readonly token: number | undefined;
}

/** What the values of readers begin with: it can be compared for all members of a queue at once. */
export const SHARED = 'shared';

const STATE =
  /^(?:limit (\d+) )?(shared )?(\S+) (waiting|granted|kept) since (\d+)(?: token (\d+))?$/;

export function valueOf({ id, mode, limit, progress, since, token }: MemberState): Buffer {
  const words = [
    ...(limit > 1 ? ['limit', limit] : []),
    ...(mode === 'shared' ? [SHARED] : []),
    ...[id, progress, 'since', since],
    ...(token === undefined ? [] : ['token', token]),
  ];
  return Buffer.from(words.join(' '));
}

export function waitingNow({ id, mode, limit }: Claim): Buffer {
  const progress = 'waiting';
  return valueOf({ id, mode, limit, progress, since: wallTimeIn(0), token: undefined });
}

/** The token is the revision of the change that puts it down. */
export function grantedNow({ id, mode, limit }: Claim): Buffer {
  const progress = 'granted';
  return valueOf({ id, mode, limit, progress, since: wallTimeIn(0), token: undefined });
}

/** Undefined for members that are not ours, such as Go's, whose value is empty. */
export function stateOf({ value }: IKeyValue): MemberState | undefined {
  const [match, limit = '1', shared, id, progress, since, token] =
    STATE.exec(value.toString()) ?? [];
  if (match === undefined) return undefined;
  return {
    id: id as string,
    mode: shared === undefined ? 'exclusive' : 'shared',
    limit: Number(limit),
    progress: progress as MemberState['progress'],
    since: Number(since),
    token: token === undefined ? undefined : Number(token),
  };
}

/** The fencing token of a member that holds the lock: the revision at which it became its owner. */
export function tokenOf(member: IKeyValue): number {
  return stateOf(member)?.token ?? Number(member.mod_revision);
}

/** Whether it has the lock, and was not given back. */
export function isGranted(member: IKeyValue): boolean {
  return stateOf(member)?.progress === 'granted';
}

export function isWaiting(member: IKeyValue): boolean {
  return stateOf(member)?.progress === 'waiting';
}

/** Those that are not ours know no readers: each holds the key alone. */
export function modeOf(member: IKeyValue): LeaseMode {
  return stateOf(member)?.mode ?? 'exclusive';
}

export function limitOf(member: IKeyValue): number {
  return stateOf(member)?.limit ?? 1;
}
