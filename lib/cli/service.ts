import { Logger } from '@nestjs/common';
import type { LockBackend } from '../backends/lock-backend.js';
import { LONGEST_TIMER } from '../time/timers.js';
import { LockService } from '../lock.service.js';
import { complain } from './output.js';

/** Uses a LockService of its own, and closes it. What it warns of is one line on stderr. */
export async function withService<T>(
  backend: LockBackend,
  label: string,
  use: (service: LockService) => Promise<T>,
): Promise<T> {
  const quiet = () => undefined;
  Logger.overrideLogger({
    log: quiet,
    debug: quiet,
    verbose: quiet,
    warn: complain,
    error: complain,
  });
  const service = new LockService({ backend, label, shutdownGrace: 0 });
  // The library's pauses keep no process from exiting, and here nothing else may.
  const anchor = setInterval(quiet, LONGEST_TIMER);
  try {
    return await use(service);
  } finally {
    await service.close();
    clearInterval(anchor);
  }
}
