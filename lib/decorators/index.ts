export { InjectLockService } from './inject-lock-service.decorator.js';
export { LeaderOnly } from './leader-only.decorator.js';
export { LockedStream, type LockedStreamDecorator } from './locked-stream.decorator.js';
export { Locked, type LockedDecorator } from './locked.decorator.js';
export type { Fits, KeySource } from './lock-method.js';
