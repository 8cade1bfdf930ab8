// W3: 100 waiters in one process on one key. Each acquires and releases as fast as it can; there is
// nothing inside. A hand-off is what is counted.
import { contention } from './contention.mjs';

export default {
  id: 'W3',
  title: '100 waiters in one process on one key, nothing inside',
  file: import.meta.url,
  stores: { redis: [1], etcd: [1], postgres: [1], memory: [1] },
  columns: contention.columns.filter(
    ({ figure }) => figure !== 'crossGap' && figure !== 'jainProcesses',
  ),
  measure: (stage) =>
    contention.measure(stage, {
      processes: 1,
      waiters: 100,
      inside: 0,
      warmUp: stage.time(2_000),
      window: stage.time(700),
    }),
};

export const roles = contention.roles;
