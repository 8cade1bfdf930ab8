/** By slot the master that has it, as `host:port`, in a list. */
export type ClusterSlots = (readonly string[] | undefined)[];

type Range = readonly [
  first: number,
  last: number,
  master?: readonly [host: string | null, port: number],
];

/** Reads what CLUSTER SLOTS answers. */
export function readSlots(answer: unknown): ClusterSlots {
  const slots: ClusterSlots = [];
  for (const [first, last, master] of answer as readonly Range[]) {
    // A node that does not know its own name yet.
    if (!master?.[0]) continue;
    const nodes = [`${master[0]}:${master[1]}`];
    for (let slot = first; slot <= last; slot++) slots[slot] = nodes;
  }
  return slots;
}
