// How long the ttl of 1,000 held locks is: a lease is renewed at each third of it.
import w8, { holdMany, roles as heldRoles } from '../workloads/w8-held-locks.mjs';

export default {
  id: 'ttl',
  title: 'seconds of ttl of 1,000 held locks',
  file: import.meta.url,
  stores: { redis: [1, 3, 10, 30, 60], etcd: [2, 10, 30, 60] },
  columns: w8.columns.filter(({ figure }) => figure === 'cpu' || figure === 'commandRate'),
  patience: 120_000,
  lasts: false,
  rounds: 1,
  plotted: 'cpu',
  measure: (stage, seconds) =>
    holdMany(stage, {
      count: stage.size(1_000),
      time: stage.time(Math.max(10_000, seconds * 667)), // two renewals of each lock, or more
      ttl: seconds * 1_000,
    }),
};

export const roles = heldRoles;
