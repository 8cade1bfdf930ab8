export { instrumentLocks } from './instrument-locks.js';
export { LockOpenTelemetryModule } from './lock-opentelemetry.module.js';
export type { OpenTelemetryOptions } from './options.js';
