import 'reflect-metadata';
import { Inject } from '@nestjs/common';
import { LockNotWiredError } from '../errors/index.js';
import { shown } from '../text/shown.js';
import { getLockInterceptorToken, getLockServiceToken } from '../lock.constants.js';
import { LockInterceptor } from '../lock.interceptor.js';
import type { LockService } from '../lock.service.js';
import { canBeAsked } from '../nest/mocks.js';

/** Where Nest keeps a class's property dependencies; read so that we add each of ours once (Nest 11 would repeat it). */
const PROPERTY_DEPENDENCIES = 'self:properties_metadata';

/** The property of decorated instances that holds their interceptor: the token itself, which no field can clash with. */
const propertyOf = getLockInterceptorToken;

/** Has Nest inject the interceptor into every instance of the class, whatever their scope. */
export function injectInterceptor(prototype: object, name: string | undefined): void {
  const token = getLockInterceptorToken(name);
  const known = Reflect.getMetadata(PROPERTY_DEPENDENCIES, prototype.constructor) as
    readonly { key: unknown }[] | undefined;
  if (known?.some(({ key }) => key === propertyOf(name))) return;
  Inject(token)(prototype, propertyOf(name));
}

/** Gives an instance that Nest did not make itself its interceptor. */
export function wire(
  instance: object,
  name: string | undefined,
  interceptor: LockInterceptor,
): void {
  Object.defineProperty(instance, propertyOf(name), {
    value: interceptor,
    configurable: true,
    writable: true,
  });
}

/** @throws LockNotWiredError when the instance has none, or something else: the method must not run */
export function interceptorOf(
  instance: unknown,
  name: string | undefined,
  where: string,
): LockInterceptor {
  if (typeof instance !== 'object' || instance === null) throw new LockNotWiredError(where);
  const wired: unknown = Reflect.get(instance, propertyOf(name));
  if (wired instanceof LockInterceptor) return wired;
  if (wired !== undefined) {
    if (canBeAsked<LockInterceptor>(wired, 'intercept')) return wired;
    throw new LockNotWiredError(where, `${shown(wired)} as its LockInterceptor`);
  }
  const locks = Reflect.get(instance, getLockServiceToken(name)) as LockService | undefined;
  if (locks === undefined) throw new LockNotWiredError(where);
  return interceptorFor(locks);
}

const interceptors = new WeakMap<LockService, LockInterceptor>();

/** For instances that were attached to a service by hand. */
function interceptorFor(locks: LockService): LockInterceptor {
  let interceptor = interceptors.get(locks);
  if (interceptor === undefined) {
    interceptor = new LockInterceptor(locks);
    interceptors.set(locks, interceptor);
  }
  return interceptor;
}
