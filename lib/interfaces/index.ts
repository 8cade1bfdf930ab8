export type {
  LeaderOnlyOptions,
  LeaderOptions,
  Leadership,
  LeadershipListener,
  LeaderState,
  LeaderTerm,
} from './leadership.interface.js';
export type { LockModuleOptions, LockOptionsFactory } from './lock-module-options.interface.js';
export type {
  Duration,
  LockedOptions,
  LockedStreamOptions,
  LockHoldOptions,
  LockOptions,
  LockTemplate,
} from './lock-options.interface.js';
export type { LeadershipCount, LockCount, LockStats, PausedNode } from './lock-stats.interface.js';
export type {
  Lock,
  LockHolder,
  LockKey,
  LockMode,
  LockOwner,
  LockState,
  LockWaiter,
  ReleaseOutcome,
  RevokeOptions,
} from './lock.interface.js';
export type {
  WebLock,
  WebLockGrantedCallback,
  WebLockInfo,
  WebLockManager,
  WebLockManagerSnapshot,
  WebLockOptions,
} from './web-locks.interface.js';
