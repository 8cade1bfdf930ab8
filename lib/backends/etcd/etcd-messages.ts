import { randomUUID } from 'node:crypto';
import type { IKeyValue } from 'etcd3';
import type { LockProcess, Revocation } from '../lock-backend.js';
import type { EtcdCalls } from './etcd-calls.js';
import type { EtcdHeldMembers } from './etcd-held-members.js';
import { type Message, withdrawTxn } from './holder-transactions.js';
import type { Keyspace } from './keyspace.js';
import { isGranted, stateOf } from './member.js';

/** What is said to a process of those that hold a lock by these requests. */
interface Content {
  readonly ids: readonly string[];
  /** That they are asked for it; without it, that it was taken from them. */
  readonly revocation?: Revocation;
}

/** For those of the holders that are of this package: one message for all that live on one lease. */
export function messagesTo(
  keyspace: Keyspace,
  holders: readonly IKeyValue[],
  revocation?: Revocation,
): Message[] {
  const ids = new Map<string, string[]>();
  for (const holder of holders.filter(isGranted)) {
    const id = stateOf(holder)?.id as string;
    ids.set(holder.lease, [...(ids.get(holder.lease) ?? []), id]);
  }
  return [...ids].map(([lease, those]) => {
    const content: Content = { ids: those, revocation };
    const value = Buffer.from(JSON.stringify(content));
    return { name: keyspace.messageOf(lease, randomUUID()), value, lease };
  });
}

/** Hears what operators say to this process, and clears it away. What it misses ends with its lease. */
export class EtcdMessages {
  constructor(
    private readonly calls: EtcdCalls,
    private readonly heldMembers: EtcdHeldMembers,
    private readonly process: LockProcess,
  ) {}

  hear({ key, value }: IKeyValue): void {
    // If it fails, it ends with the lease that it is on.
    this.calls.txn(withdrawTxn(key, undefined)).catch(() => undefined);
    const content = read(value);
    for (const id of content?.ids ?? []) {
      if (content?.revocation !== undefined) this.process.revoked(id, content.revocation);
      else this.heldMembers.lose(id);
    }
  }
}

/** Others may have put there what they like. */
function read(value: Buffer): Content | undefined {
  try {
    const content = JSON.parse(value.toString()) as Content | null;
    return Array.isArray(content?.ids) ? content : undefined;
  } catch {
    return undefined;
  }
}
