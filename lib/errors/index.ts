export { LockBackendError } from './lock-backend.error.js';
export { LockConfigurationError } from './lock-configuration.error.js';
export { LockError, type LockErrorCode } from './lock.error.js';
export { LockKeyError } from './lock-key.error.js';
export { LockLostError, type LockLostReason } from './lock-lost.error.js';
export { LockNotWiredError } from './lock-not-wired.error.js';
export { LockReentrancyError } from './lock-reentrancy.error.js';
export { LockShutdownError } from './lock-shutdown.error.js';
export { LockTimeoutError } from './lock-timeout.error.js';
