export { LockPrometheusModule } from './lock-prometheus.module.js';
export { measureLocks } from './measure-locks.js';
export type { PrometheusOptions } from './options.js';
