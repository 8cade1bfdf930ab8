export { LockHealthIndicator, type LockPingCheckSettings } from './lock-health.indicator.js';
