import type { IKeyValue } from 'etcd3';

/** What stands in the value of a member: whose it is, and how far it got. */
export interface MemberState {
  readonly id: string;
  readonly granted: boolean;
  /** The token, where it is not the revision of the last change: a renewal moved the member since. */
  readonly token: number | undefined;
}

export function waitingState(id: string): Buffer {
  return Buffer.from(`${id} waiting`);
}

/** @param token once the grant is no more the last change of the member */
export function grantedState(id: string, token?: number): Buffer {
  return Buffer.from(token === undefined ? `${id} granted` : `${id} granted ${token}`);
}

/** Undefined for members that are not ours, such as Go's, whose value is empty. */
export function stateOf({ value }: IKeyValue): MemberState | undefined {
  const [, id, state, token] = /^(\S+) (waiting|granted)(?: (\d+))?$/.exec(value.toString()) ?? [];
  if (id === undefined) return undefined;
  return { id, granted: state === 'granted', token: token === undefined ? token : Number(token) };
}

/** The fencing token of a member that holds the lock: the revision at which it became its owner. */
export function tokenOf(member: IKeyValue): number {
  return stateOf(member)?.token ?? Number(member.mod_revision);
}

/** Whether it got as far as to hold the lock. */
export function isGranted(member: IKeyValue): boolean {
  return stateOf(member)?.granted === true;
}
