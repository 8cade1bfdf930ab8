import type { LockBackend } from '../backends/lock-backend.js';
import type { Duration, LockHoldOptions } from './lock-options.interface.js';

/** Options of `LockModule.forRoot()`; what is not said here and not at the call has the documented default. */
export interface LockModuleOptions extends LockHoldOptions {
  /**
   * Where the locks live.
   * @default new MemoryBackend(), which locks within this one process
   */
  backend?: LockBackend;

  /**
   * What operators see of this process beside its host and pid: the application's name, a version, a
   * region. At most 100 characters.
   * @default ''
   */
  label?: string;

  /**
   * How long bodies that hold a lock may go on when the application closes, twice: before it closes what
   * they work with, and after they were asked to finish. As long as the longest of them.
   * @default '10s'
   */
  shutdownGrace?: Duration;
}

/** For `forRootAsync({ useClass })` and `{ useExisting }`. */
export interface LockOptionsFactory {
  createLockOptions(): LockModuleOptions | Promise<LockModuleOptions>;
}
