// How many processes stand before one key, each with one waiter, with nothing to do inside: every
// hand-off crosses processes.
import { contention } from '../workloads/contention.mjs';

export default {
  id: 'processes',
  title: 'processes with one waiter each on one key',
  file: import.meta.url,
  stores: { redis: [1, 2, 4, 8, 16, 32, 64], etcd: [1, 4, 16, 64] },
  columns: contention.columns.filter(({ figure }) =>
    ['ops', 'p50', 'p99', 'crossGap', 'commands', 'cpu', 'jainProcesses', 'violations'].includes(
      figure,
    ),
  ),
  plotted: 'ops',
  patience: 300_000, // they all start at once
  lasts: false, // so many processes are more than some machines can keep
  measure: (stage, processes) =>
    contention.measure(stage, {
      processes,
      waiters: 1,
      inside: 0,
      warmUp: stage.time(1_500),
      window: stage.time(3_000),
    }),
};

export const roles = contention.roles;
