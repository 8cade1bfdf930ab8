import type { HolderState, LeaseMode, WaiterState } from '../lock-backend.js';
import type { Inspected } from './scripts/calls.js';

/** How a key stands at one server. */
export interface Inspection {
  readonly holders: readonly HolderState[];
  readonly waiters: number;
  readonly queue: readonly (WaiterState & { readonly ticket: number })[];
}

/** What inspect.lua says, in the words of operators. */
export function readInspected([now, limit, holders, waiters, shown]: Inspected): Inspection {
  const mode = modeOf(limit === 1);
  // Tokens and tickets are microseconds of the server or of who asked, or hardly more.
  const age = (micros: number) => Math.max(0, now - micros / 1_000);
  const queue = [];
  for (let index = 0; index < shown.length; index += 2) {
    const member = shown[index] ?? '';
    const ticket = Number(shown[index + 1]);
    const [id = ''] = member.split(' ');
    queue.push({ id, mode: modeOf(member.endsWith(' s')), age: age(ticket), ticket });
  }
  return {
    holders: holders.map(([id, token, remaining]) => {
      return { id, token, mode, age: age(token), remaining };
    }),
    waiters,
    queue,
  };
}

function modeOf(reads: boolean): LeaseMode {
  return reads ? 'shared' : 'exclusive';
}
