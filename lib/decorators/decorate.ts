import 'reflect-metadata';
import { LockConfigurationError } from '../errors/index.js';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a method of any class
export type Method = (this: any, ...args: any[]) => unknown;

/**
 * The method that a decorator was put on.
 * @throws LockConfigurationError that says what it was put on instead
 */
export function methodOf(decorator: string, parameters: readonly unknown[]): Method {
  const [target, property, descriptor] = parameters as [
    unknown,
    string | symbol | object | undefined,
    unknown,
  ];
  const refuse = (what: string): never => {
    throw new LockConfigurationError(`${decorator} decorates methods of instances, not ${what}`);
  };
  if (typeof property === 'object') {
    return refuse(
      'standard (TC39) members: set "experimentalDecorators": true in tsconfig.json, as Nest needs',
    );
  }
  if (property === undefined) return refuse('classes');
  const name = String(property);
  if (typeof target === 'function') return refuse(`the static member ${target.name}.${name}`);
  if (typeof descriptor !== 'object') return refuse(`the property ${name}`);
  const value: unknown = (descriptor as PropertyDescriptor).value;
  if (typeof value !== 'function') return refuse(`the accessor ${name}`);
  return value as Method;
}

/** What the source declares it as: `AsyncFunction`, `GeneratorFunction`, `AsyncGeneratorFunction` or `Function`. */
export function kindOf(method: Method): string {
  return method.constructor.name;
}

/** A method that is declared as the original is: decorators above it may accept async functions only. */
export function sameKind(
  original: Method,
  run: (instance: object, args: unknown[]) => unknown,
): Method {
  if (kindOf(original) !== 'AsyncFunction') {
    return function (this: object, ...args: unknown[]) {
      return run(this, args);
    };
  }
  return async function (this: object, ...args: unknown[]) {
    return await run(this, args);
  };
}

/** Makes the wrapper look like the original to whoever reads its name, length, properties or metadata. */
export function impersonate(wrapper: Method, original: Method): void {
  for (const property of Reflect.ownKeys(original)) {
    if (property === 'prototype') continue;
    Object.defineProperty(
      wrapper,
      property,
      Object.getOwnPropertyDescriptor(original, property) ?? {},
    );
  }
  for (const key of Reflect.getOwnMetadataKeys(original)) {
    Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, original), wrapper);
  }
}
