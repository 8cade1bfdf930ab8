// How many locks one process holds at the default ttl.
import w8, { holdMany, roles as heldRoles } from '../workloads/w8-held-locks.mjs';

export default {
  id: 'held',
  title: 'locks held by one process at the default ttl of 30 s',
  file: import.meta.url,
  stores: { redis: [100, 1_000, 10_000, 100_000] },
  columns: w8.columns,
  patience: 120_000,
  lasts: false,
  rounds: 1,
  plotted: 'cpu',
  measure: (stage, count) =>
    holdMany(stage, { count: stage.size(count), time: stage.time(20_000) }),
};

export const roles = heldRoles;
