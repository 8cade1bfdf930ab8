// How many waiters of one process stand before one key, with nothing to do inside.
import { contention } from '../workloads/contention.mjs';

export default {
  id: 'waiters',
  title: 'waiters in one process on one key',
  file: import.meta.url,
  stores: { redis: [10, 100, 1_000, 10_000], etcd: [10, 100, 1_000, 10_000] },
  columns: contention.columns.filter(({ figure }) =>
    ['ops', 'p50', 'p99', 'commands', 'cpu', 'violations'].includes(figure),
  ),
  plotted: 'ops',
  measure: (stage, waiters) =>
    contention.measure(stage, {
      processes: 1,
      waiters,
      inside: 0,
      warmUp: stage.time(1_500),
      window: stage.time(3_000),
    }),
};

export const roles = contention.roles;
