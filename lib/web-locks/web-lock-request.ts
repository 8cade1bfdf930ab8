import { shown } from '../text/shown.js';
import type { LockMode, WebLock } from '../interfaces/index.js';
import { checkKey } from '../options/lock-key.js';
import { isAbortSignal } from '../options/option-checks.js';
import { notSupported } from './dom-exceptions.js';

/** What to do under the lock; `T` is what it comes to in the end. */
type Granted<T> = (lock: WebLock | null) => Promise<T> | T;

/** A call of `request()`, read and checked. */
export interface WebLockRequest<T> {
  readonly name: string;
  readonly mode: LockMode;
  readonly ifAvailable: boolean;
  readonly steal: boolean;
  readonly signal: AbortSignal | undefined;
  readonly callback: Granted<T>;
}

/**
 * Reads the arguments as Web IDL converts them, then checks what § The request() method checks, in
 * that order: it decides which of several mistakes is told.
 *
 * @throws TypeError, a NotSupportedError, LockKeyError, or the reason of a signal that is aborted
 */
export function readRequest<T>(args: readonly unknown[]): WebLockRequest<T> {
  if (args.length < 2) {
    throw new TypeError(`request() needs a name and a callback, got ${args.length} argument(s)`);
  }
  const name = toText(args[0]);
  const [options, callback] = args.length === 2 ? [undefined, args[1]] : [args[1], args[2]];
  const request = { name, ...readOptions(options), callback: readCallback<T>(callback) };

  const { mode, ifAvailable, steal, signal } = request;
  if (name.startsWith('-')) throw notSupported(`names with '-' first are reserved, got ${name}`);
  if (steal && ifAvailable) throw notSupported('steal and ifAvailable exclude each other');
  if (steal && mode !== 'exclusive') throw notSupported(`steal is not for mode '${mode}'`);
  if (signal !== undefined && (steal || ifAvailable)) {
    throw notSupported(`signal and ${steal ? 'steal' : 'ifAvailable'} exclude each other`);
  }
  checkKey(name);
  signal?.throwIfAborted();
  return request;
}

/** A dictionary: null is an empty one, unknown members are ignored, and each known one is read once. */
function readOptions(options: unknown): Omit<WebLockRequest<never>, 'name' | 'callback'> {
  const given: unknown = options ?? {};
  if (typeof given !== 'object' && typeof given !== 'function') {
    throw new TypeError(`options must be an object, got ${shown(given)}`);
  }
  const { ifAvailable, mode, signal, steal } = given as Record<string, unknown>;
  return {
    ifAvailable: Boolean(ifAvailable),
    mode: readMode(mode),
    signal: readSignal(signal),
    steal: Boolean(steal),
  };
}

function readMode(mode: unknown = 'exclusive'): LockMode {
  const text = toText(mode);
  if (text === 'exclusive' || text === 'shared') return text;
  throw new TypeError(`mode must be 'exclusive' or 'shared', got ${shown(mode)}`);
}

function readSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || isAbortSignal(signal)) return signal;
  throw new TypeError(`signal must be an AbortSignal, got ${shown(signal)}`);
}

function readCallback<T>(callback: unknown): Granted<T> {
  if (typeof callback === 'function') return callback as Granted<T>;
  throw new TypeError(`callback must be a function, got ${shown(callback)}`);
}

/** Unlike String(), it refuses symbols. */
function toText(value: unknown): string {
  return ''.concat(value as string);
}
