// W1: one free key, acquired and released again and again, one after the other.
import { cycle } from './cycle.mjs';

export default {
  id: 'W1',
  title: 'sequential acquire and release of one free key',
  file: import.meta.url,
  stores: { redis: [1, 3, 5], etcd: [1], postgres: [1], memory: [1] },
  columns: cycle.columns,
  measure: (stage) => cycle.measure(stage, 1),
};

export const roles = cycle.roles;
