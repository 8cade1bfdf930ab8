/** The instance that `LockModule.forRoot()` registers when it is given no name. */
const DEFAULT_NAME = 'default';

/** The token of a LockService; the one without a name is also found under its class. */
export function getLockServiceToken(name = DEFAULT_NAME): symbol {
  return Symbol.for(`nestjs-lock:service:${name}`);
}

/** The token of the backend that a LockModule was given: what a test overrides with a MemoryBackend. */
export function getLockBackendToken(name = DEFAULT_NAME): symbol {
  return Symbol.for(`nestjs-lock:backend:${name}`);
}

/** The token of the LockInterceptor that decorated classes get injected. */
export function getLockInterceptorToken(name = DEFAULT_NAME): symbol {
  return Symbol.for(`nestjs-lock:interceptor:${name}`);
}
