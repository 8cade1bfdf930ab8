import 'reflect-metadata';

export type {
  Answer,
  BackendConnection,
  BackendSupport,
  Busy,
  BusyKey,
  Grant,
  HolderState,
  KeyState,
  LeaseIdentity,
  LeaseMode,
  LeaseRenewal,
  LockBackend,
  LockGuard,
  LockProcess,
  LockRequest,
  Revocation,
  SqlGuard,
  WaiterState,
  Waiting,
} from './backends/lock-backend.js';
export { isAlone, MOST_SHOWN } from './backends/lock-backend.js';
export { keyPattern } from './backends/key-pattern.js';
export { MemoryBackend } from './backends/memory/memory.backend.js';
export * from './decorators/index.js';
export * from './errors/index.js';
export * from './interfaces/index.js';
export { Instant } from './time/clock.js';
export {
  getLockBackendToken,
  getLockInterceptorToken,
  getLockServiceToken,
} from './lock.constants.js';
export { LockBusyFilter } from './lock-busy.filter.js';
export { LockInterceptor } from './lock.interceptor.js';
export { LockModule, type LockModuleExtras } from './lock.module.js';
export { LockService, type LockedBody } from './lock.service.js';
export { CHANNELS } from './telemetry/channels.js';
export type {
  AcquireMessage,
  AcquireOutcome,
  BackendMessage,
  BackendOperation,
  Handoff,
  HoldMessage,
  LeadershipMessage,
  LostMessage,
  MessageSource,
  MessageTemplate,
  PausedMessage,
  RenewedMessage,
  RevocationMessage,
  WarningMessage,
} from './telemetry/messages.js';
