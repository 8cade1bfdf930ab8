import type { Memory } from './redlock-entry.js';
import type { RedlockNode } from './redlock-node.js';

/** What the others remember, as far as they can be reached: waits a moment for them to be connected. */
export async function memoryOfOthers(
  nodes: readonly RedlockNode[],
  except: RedlockNode,
): Promise<Memory> {
  const others = nodes.filter((node) => node !== except);
  await Promise.all(others.map((node) => node.reached()));
  const settled = await Promise.allSettled(others.map((node) => node.memory()));
  const memories = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  // With fewer nobody can tell a node that forgot from one that is new.
  if (memories.length < Math.floor(nodes.length / 2)) throw new Error('too few nodes to enter one');
  return {
    exists: memories.some(({ exists }) => exists),
    longest: Math.max(0, ...memories.map(({ longest }) => longest)),
    // A node without it would agree to less, together with one that was not asked for the last one.
    token: Math.max(0, ...memories.map(({ token }) => token)),
  };
}
