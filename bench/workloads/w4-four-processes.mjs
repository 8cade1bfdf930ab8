// W4: 4 processes with 8 waiters each on one key; each stays inside for a timer of 1 ms.
import { contention } from './contention.mjs';

export default {
  id: 'W4',
  title: '4 processes × 8 waiters on one key, a timer of 1 ms inside',
  file: import.meta.url,
  stores: { redis: [1, 3], etcd: [1], postgres: [1] },
  columns: contention.columns,
  measure: (stage) =>
    contention.measure(stage, {
      processes: 4,
      waiters: 8,
      inside: 1,
      warmUp: stage.time(2_000),
      window: stage.time(1_200, 500),
    }),
};

export const roles = contention.roles;
