import { Inject } from '@nestjs/common';
import { getLockServiceToken } from '../lock.constants.js';

/** Injects the LockService of a named LockModule; without a name, the one that `LockService` injects too. */
export function InjectLockService(name?: string): ParameterDecorator & PropertyDecorator {
  return Inject(getLockServiceToken(name));
}
