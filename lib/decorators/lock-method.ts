import { LockConfigurationError, LockError } from '../errors/index.js';
import type { LockedOptions, LockKey } from '../interfaces/index.js';
import { readLeaderOptions, readOptions } from '../options/lock-options.js';
import { checkIsOptions, checkName } from '../options/option-checks.js';
import { shown } from '../text/shown.js';
import type { LockInterceptor } from '../lock.interceptor.js';
import { MethodContext } from '../nest/method-context.js';
import { impersonate, methodOf, sameKind, type Method } from './decorate.js';
import { handlesEvents } from './event-handlers.js';
import { parseKeyTemplate } from './key-template.js';
import { runAsEvent, runsUnderLocks } from '../lock/lock-context.js';
import { askedBy, type Caller } from '../telemetry/caller.js';
import { setLockingMethod, setLockPlan, type LockPlan } from '../nest/lock-plan.js';
import { injectInterceptor, interceptorOf } from './wiring.js';

/** A key template, or a function of the method's own arguments, which may give several keys. */
export type KeySource<Args extends unknown[]> = string | ((...args: Args) => LockKey);

/** Makes the compiler refuse a key function whose parameters do not fit the method's. */
export type Fits<Parameters extends unknown[], Args extends unknown[]> = Parameters extends [
  ...Args,
  ...unknown[],
]
  ? unknown
  : { keyFunctionDoesNotFitMethod: Args };

/** One call of a locked method. */
export interface LockedCall {
  readonly where: string;
  readonly context: MethodContext;
  /** @throws LockNotWiredError */
  readonly interceptor: () => LockInterceptor;
  /** Runs the original. */
  readonly invoke: () => unknown;
}

/** What a decorator makes of the calls of a method; given the method, so that it can refuse it. */
export type Advice = (original: Method, where: string) => (call: LockedCall) => unknown;

const KINDS = { '@Locked': 'lock', '@LockedStream': 'stream', '@LeaderOnly': 'leader' } as const;

interface Decoration {
  readonly decorator: keyof typeof KINDS;
  readonly key: unknown;
  readonly options: object;
  readonly advice: Advice;
}

/**
 * The decorator that puts a locking method in the place of the decorated one.
 * @throws LockConfigurationError now, when it is put there without being called; the rest later
 */
export function lockMethod(decoration: Decoration): (...parameters: unknown[]) => void {
  const { decorator, key, options, advice } = decoration;
  if (typeof key !== 'string' && (typeof options === 'string' || typeof options === 'symbol')) {
    // The compiler would take what we return for the new descriptor, and leave the method as it was.
    throw new LockConfigurationError(
      `${decorator} on ${String(options)} has no key: write ${decorator}('key')`,
    );
  }
  return (...parameters) => {
    const original = methodOf(decorator, parameters);
    const [target, property, descriptor] = parameters as [
      object,
      string | symbol,
      PropertyDescriptor,
    ];
    const where = `${target.constructor.name}.${String(property)}`;
    const plan = readPlan(decoration, where);
    const lock = advice(original, where);
    const run = (instance: object, args: unknown[]): unknown => {
      const call = {
        where,
        context: new MethodContext(instance, wrapper, args),
        interceptor: () => interceptorOf(instance, plan.name, where),
        invoke: () => original.apply(instance, args),
      };
      return runsUnderLocks() && handlesEvents(instance, property, wrapper)
        ? runAsEvent(() => lock(call))
        : lock(call);
    };
    const wrapper = sameKind(original, run);
    impersonate(wrapper, original);
    setLockPlan(wrapper, plan);
    setLockingMethod(target, property, wrapper);
    injectInterceptor(target, plan.name);
    descriptor.value = wrapper;
  };
}

/** @throws LockConfigurationError or LockKeyError that says which method it is about */
function readPlan(decoration: Decoration, where: string): LockPlan {
  try {
    return { where, ...readTerms(decoration, where) };
  } catch (error) {
    if (error instanceof LockError) error.message = `${where}: ${error.message}`;
    throw error;
  }
}

function readTerms(
  { decorator, key, options }: Decoration,
  where: string,
): Omit<LockPlan, 'where'> {
  checkIsOptions(options);
  const kind = KINDS[decorator];
  const { name, onBusy = 'throw', ...rest } = options as LockedOptions;
  checkName(name);
  if (kind === 'stream' && 'onBusy' in options) {
    throw new LockConfigurationError(`onBusy is not for streams, got ${shown(options.onBusy)}`);
  }
  if (onBusy !== 'throw' && onBusy !== 'skip' && typeof onBusy !== 'function') {
    throw new LockConfigurationError(
      `onBusy must be 'throw', 'skip' or a function, got ${shown(onBusy)}`,
    );
  }
  if ('signal' in rest) {
    throw new LockConfigurationError(
      `signal is for single calls, not for all of a method, got ${shown(rest.signal)}`,
    );
  }
  const template = typeof key === 'string' ? key : where;
  const caller: Caller = { where, template, toleratesBusy: onBusy !== 'throw' };
  const given = askedBy(caller, rest);
  if (kind === 'leader') {
    readLeaderOptions(rest, 0);
    if (typeof key !== 'string') {
      throw new LockConfigurationError(`key of a leadership must be a string, got ${shown(key)}`);
    }
    const made = parseKeyTemplate(key)([]);
    return { name, keyOf: () => made, options: given, onBusy: 'skip', kind };
  }
  readOptions(rest);
  return { name, keyOf: readKey(key), options: given, onBusy: onBusy as LockPlan['onBusy'], kind };
}

function readKey(key: unknown): LockPlan['keyOf'] {
  if (typeof key === 'function') {
    return (instance, args) => {
      const made: unknown = key.apply(instance, [...args]);
      // A promise is refused as a key like anything else; its own failure is not to crash the process.
      if (made instanceof Promise) made.catch(() => undefined);
      return made as LockKey;
    };
  }
  if (typeof key !== 'string') {
    throw new LockConfigurationError(`key must be a template or a function, got ${shown(key)}`);
  }
  const keyOf = parseKeyTemplate(key);
  return (_instance, args) => keyOf(args);
}
