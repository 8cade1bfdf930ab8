import type { ModuleRef } from '@nestjs/core';
import { LockConfigurationError } from '../errors/index.js';
import { getLockServiceToken } from '../lock.constants.js';
import type { LockService } from '../lock.service.js';

/**
 * The LockService of that name, wherever in the application its LockModule is registered.
 * @throws LockConfigurationError when there is none
 */
export function findLockService(moduleRef: ModuleRef, name: string | undefined): LockService {
  try {
    return moduleRef.get<LockService>(getLockServiceToken(name), { strict: false });
  } catch (cause) {
    const options = name === undefined ? '' : `{ name: '${name}' }`;
    throw new LockConfigurationError(
      `no LockModule${name === undefined ? '' : ` '${name}'`} is registered: ` +
        `import LockModule.forRoot(${options}) in the application`,
      undefined,
      { cause },
    );
  }
}
