import type { LockBackend } from '../backends/lock-backend.js';
import { LockConfigurationError } from '../errors/index.js';
import type { LockModuleOptions } from '../interfaces/index.js';
import { readDuration } from './duration.js';
import { checkBackend, readLabel, readOptions, type LockSettings } from './lock-options.js';
import { checkIsOptions } from './option-checks.js';

/** A module's options as they are used: read and checked. */
export interface ModuleSettings {
  readonly backend: LockBackend | undefined;
  readonly label: string;
  /** Milliseconds. */
  readonly shutdownGrace: number;
  /** What holds for each lock whose caller says nothing else. */
  readonly defaults: LockSettings;
}

/** @throws LockConfigurationError that names the option and what was given */
export function readModuleOptions(options: LockModuleOptions): ModuleSettings {
  checkIsOptions(options);
  const { backend, label = '', shutdownGrace = '10s', ...defaults } = options;
  if (backend !== undefined) checkBackend(backend);
  for (const option of ['signal', 'template']) {
    if (option in defaults) {
      throw new LockConfigurationError(`${option} is an option of single calls, not of the module`);
    }
  }
  return {
    backend,
    defaults: readOptions(defaults),
    shutdownGrace: readDuration('shutdownGrace', shutdownGrace, { least: 0 }),
    label: readLabel(label),
  };
}
