import type { LockedOptions, LockKey } from '../interfaces/index.js';
import type { WithCaller } from '../telemetry/caller.js';

/** What a decorator leaves on a method: how each call of it is to be locked. */
export interface LockPlan {
  /** `Class.method`, for messages. */
  readonly where: string;
  /** The named LockModule instance. */
  readonly name: string | undefined;
  /** @throws LockKeyError when the arguments do not give a key */
  keyOf(instance: unknown, args: readonly unknown[]): LockKey;
  /** Everything else that was given, as it was given, with who asks by them. */
  readonly options: Omit<LockedOptions, 'name' | 'onBusy'> & WithCaller;
  readonly onBusy: NonNullable<LockedOptions<unknown[]>['onBusy']>;
  /**
   * `stream`: the method answers with an Observable or an async iterable instead of a promise.
   * `leader`: it runs under the leadership of its key, which does not depend on its arguments.
   */
  readonly kind: 'lock' | 'stream' | 'leader';
}

const PLAN = Symbol.for('nestjs-lock:plan');

export function setLockPlan(method: object, plan: LockPlan): void {
  Reflect.defineMetadata(PLAN, plan, method);
}

/** Remembers which method locks: what is put above it need not know its plan. */
export function setLockingMethod(prototype: object, property: PropertyKey, method: object): void {
  Reflect.defineMetadata(PLAN, method, prototype, property as string | symbol);
}

/** The method that locks, whatever other decorators have put around it. */
export function getLockingMethod(prototype: object, property: PropertyKey): object | undefined {
  return Reflect.getOwnMetadata(PLAN, prototype, property as string | symbol) as object | undefined;
}

export function getLockPlan(method: unknown): LockPlan | undefined {
  if (typeof method !== 'function') return undefined;
  return Reflect.getOwnMetadata(PLAN, method) as LockPlan | undefined;
}
