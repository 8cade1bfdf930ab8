import type { Type } from '@nestjs/common';

/** Where Nest keeps the interceptors of a class and of a handler. */
const INTERCEPTORS = '__interceptors__';
/** Nothing but its name tells of an interceptor that it commits. */
const COMMITS = /transaction/i;

type Interceptor = Type | { readonly constructor: Type };

/**
 * The name of an interceptor of this handler, or of all handlers of its class, that runs a transaction
 * by its name: around the method, and so around its lock.
 */
export function transactionInterceptorOf(method: object, metatype: unknown): string | undefined {
  return [...interceptorsOf(method), ...interceptorsOf(metatype)]
    .map((interceptor) =>
      typeof interceptor === 'function' ? interceptor.name : interceptor.constructor.name,
    )
    .find((name) => COMMITS.test(name));
}

function interceptorsOf(target: unknown): readonly Interceptor[] {
  if (typeof target !== 'function') return [];
  return (Reflect.getMetadata(INTERCEPTORS, target) as readonly Interceptor[] | undefined) ?? [];
}
