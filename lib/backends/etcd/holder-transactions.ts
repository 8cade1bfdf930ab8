import type { IKeyValue, ITxnRequest } from 'etcd3';
import { type MemberState, valueOf } from './member.js';
import { compare, put, rangeOf, read, remove } from './operations.js';
import type { Marker } from './transactions.js';

// What becomes of a member that is there: each function is one transaction.

/** Says anew what a member is, and what it lives on, if it is as it was. */
export function changeTxn(
  name: Buffer,
  modified: string,
  state: MemberState,
  lease: string,
): ITxnRequest {
  return {
    compare: [compare(name, 'Mod', 'Equal', modified)],
    success: [put(name, valueOf(state), lease)],
    failure: [read(rangeOf(name))],
  };
}

/** The same for one that is given back, whatever else was asked of it meanwhile. */
export function keepTxn(
  name: Buffer,
  created: string,
  state: MemberState,
  lease: string,
): ITxnRequest {
  return {
    compare: [compare(name, 'Create', 'Equal', created)],
    success: [put(name, valueOf(state), lease)],
    failure: [],
  };
}

/** Reads those that are not as they were, in the order of `members`; nothing when all are. */
export function checkTxn(
  members: readonly { readonly name: Buffer; readonly modified: string }[],
): ITxnRequest {
  return {
    compare: members.map(({ name, modified }) => compare(name, 'Mod', 'Equal', modified)),
    success: [],
    failure: members.map(({ name }) => read(rangeOf(name))),
  };
}

/**
 * Deletes a member; only one that was created at `created`, if that is given. Voids what was asked
 * under these leases and may still be carried out: it would create the member again.
 */
export function withdrawTxn(
  name: Buffer,
  created: string | undefined,
  voided: readonly { readonly id: string; readonly marker: Marker }[] = [],
): ITxnRequest {
  return {
    compare: created === undefined ? [] : [compare(name, 'Create', 'Equal', created)],
    success: [
      remove(name),
      ...voided.map(({ id, marker }) => put(marker.name, Buffer.alloc(0), id)),
    ],
    failure: [],
  };
}

/** Something that is put down for the process of a holder, on the lease that the holder lives on. */
export interface Message {
  readonly name: Buffer;
  readonly value: Buffer;
  readonly lease: string;
}

/** Puts down messages to these holders, if all are as they were; and deletes them if they are to go. */
export function tellTxn(
  holders: readonly IKeyValue[],
  messages: readonly Message[],
  end: boolean,
): ITxnRequest {
  return {
    compare: holders.map(({ key, mod_revision }) => compare(key, 'Mod', 'Equal', mod_revision)),
    success: [
      ...(end ? holders.map(({ key }) => remove(key)) : []),
      ...messages.map(({ name, value, lease }) => put(name, value, lease)),
    ],
    failure: [],
  };
}
