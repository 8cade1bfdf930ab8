/** The token of a LockService; the one without a name is also found under its class. */
export function getLockServiceToken(name?: string): symbol {
  return token('service', name);
}

/** The token of the backend that a LockModule was given: what a test overrides with a MemoryBackend. */
export function getLockBackendToken(name?: string): symbol {
  return token('backend', name);
}

/** The token of the LockInterceptor that decorated classes get injected. */
export function getLockInterceptorToken(name?: string): symbol {
  return token('interceptor', name);
}

/** The options of one LockModule, within it. */
export const OPTIONS_TOKEN = Symbol.for('nestjs-lock:options');

/** From the global registry, so that two copies of the package mean the same. */
function token(what: string, name: string | undefined): symbol {
  return Symbol.for(name === undefined ? `nestjs-lock:${what}` : `nestjs-lock:${what}:${name}`);
}
