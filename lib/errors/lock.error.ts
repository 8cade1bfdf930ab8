import { BRAND } from './brand.js';
import { causeInJson, scrubbed } from './scrubbed.js';

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

/**
 * The ancestor of every error of this package. `instanceof` goes by brand and code, so that two
 * copies of the package (ESM beside CommonJS, two versions) recognise each other's errors.
 */
export abstract class LockError extends Error {
  declare static readonly code?: LockErrorCode;
  /** Fixed: a bundler gives classes other names, and `name` of an error is read from here. */
  declare static readonly name: string;

  abstract readonly code: LockErrorCode;
  /** The key that it is about, where there is one. */
  readonly key: string | undefined;

  constructor(message: string, key?: string, options?: ErrorOptions) {
    const { cause } = options ?? {};
    super(message, cause === undefined ? undefined : { cause: scrubbed(cause) });
    this.key = key;
    Object.defineProperty(this, BRAND, { value: true });
    Object.defineProperty(this, 'name', { value: new.target.name, configurable: true });
  }

  /** What is logged of it as JSON. */
  toJSON(): object {
    const { name, message, cause } = this;
    return Object.assign({ name, message }, this, { cause: causeInJson(cause) });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null || !(BRAND in value)) return false;
    if (Object.hasOwn(this, 'code')) return (value as { code?: unknown }).code === this.code;
    return this === LockError || Object.prototype.isPrototypeOf.call(this.prototype, value);
  }
}
