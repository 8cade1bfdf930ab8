/** What went wrong, for code that cannot use `instanceof`. */
export type LockErrorCode =
  | 'LOCK_TIMEOUT'
  | 'LOCK_LOST'
  | 'LOCK_REENTRANCY'
  | 'LOCK_KEY'
  | 'LOCK_NOT_WIRED'
  | 'LOCK_CONFIGURATION'
  | 'LOCK_BACKEND'
  | 'LOCK_SHUTDOWN';

const BRAND = Symbol.for('nestjs-lock:error');

/**
 * The ancestor of every error of this package. `instanceof` goes by brand and code, so that two
 * copies of the package (ESM beside CommonJS, two versions) recognise each other's errors.
 */
export abstract class LockError extends Error {
  declare static readonly code?: LockErrorCode;

  abstract readonly code: LockErrorCode;
  /** The key that it is about, where there is one. */
  readonly key: string | undefined;

  constructor(message: string, key?: string, options?: ErrorOptions) {
    super(message, options);
    this.key = key;
    Object.defineProperty(this, BRAND, { value: true });
    Object.defineProperty(this, 'name', { value: new.target.name, configurable: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null || !(BRAND in value)) return false;
    if (Object.hasOwn(this, 'code')) return (value as { code?: unknown }).code === this.code;
    return this === LockError || Object.prototype.isPrototypeOf.call(this.prototype, value);
  }
}
