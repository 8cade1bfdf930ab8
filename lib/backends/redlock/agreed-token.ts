import { wallTimeIn } from '../../time/clock.js';
import type { LockRequest } from '../lock-backend.js';
import { majority, poll, type Reply } from './poll.js';
import type { RedlockNode } from './redlock-node.js';
import type { Vote } from './vote.js';

/**
 * How far ahead of the clock a reader's token may be, at each try after the first, in microseconds:
 * further than what the nodes grant meanwhile.
 */
const AHEAD = [1_000, 10_000, 100_000];

/**
 * The token that a majority has seen of a request it voted for; written back to one if it must be.
 * Undefined when that failed.
 *
 * Nobody else has votes of a majority for a lock that is held alone, so that the greatest token is
 * free. Of readers beside each other two may have got the same one, from different nodes: one that is
 * to be written back must be greater than all that the node has given.
 */
export async function agreedToken(
  nodes: readonly RedlockNode[],
  quorum: number,
  asked: LockRequest,
  replies: readonly Reply<Vote>[],
): Promise<number | undefined> {
  const tokens = replies.flatMap((reply) =>
    reply?.value?.state === 'granted' ? [reply.value.token] : [],
  );
  const greatest = Math.max(...tokens);
  if (tokens.filter((one) => one === greatest).length >= quorum) return greatest;
  for (const ahead of asked.mode === 'shared' ? [0, ...AHEAD] : [0]) {
    const token = ahead === 0 ? greatest : Math.max(greatest, wallTimeIn(0) * 1_000) + ahead;
    const confirmed = await poll(
      nodes.map((node) => node.confirm(asked, token)),
      majority<boolean>(quorum, (done) => done),
    );
    if (confirmed === true) return token;
  }
  return undefined;
}
