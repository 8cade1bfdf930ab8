// W2: many at a time, each on a key of its own, which is acquired and released again and again.
import { cycle } from './cycle.mjs';

export default [64, 512].map((atATime) => ({
  id: `W2/${atATime}`,
  title: `${atATime} at a time, on distinct free keys`,
  file: import.meta.url,
  stores: { redis: [1], etcd: [1], postgres: [1] },
  columns: cycle.columns,
  measure: (stage) => cycle.measure(stage, atATime),
}));

export const roles = cycle.roles;
