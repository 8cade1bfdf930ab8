import { wire } from './decorators/wiring.js';
import { LockInterceptor } from './lock.interceptor.js';
import type { LockService } from './lock.service.js';

/**
 * Lets the decorated methods of an object that Nest did not make lock with `locks`: in unit tests,
 * scripts, and request-scoped factories. Returns the object.
 *
 * @param name the instance that the decorators name, when they do
 */
export function attach<T extends object>(instance: T, locks: LockService, name?: string): T {
  wire(instance, name, new LockInterceptor(locks));
  return instance;
}
