import type { LockBackend } from './backends/lock-backend.js';
import { LockConfigurationError } from './errors/index.js';
import type { LockOptions } from './interfaces/index.js';
import { readDuration } from './duration.js';
import { checkIsOptions } from './option-checks.js';
import { shown } from './errors/shown.js';

/** Options as they are used: read, checked, durations in milliseconds. */
export interface LockSettings {
  readonly ttl: number;
  readonly wait: number;
  readonly renew: boolean;
  readonly maxHold: number | undefined;
  readonly reentrant: boolean;
  readonly signal: AbortSignal | undefined;
}

const DEFAULTS: LockSettings = {
  ttl: 30_000,
  wait: 10_000,
  renew: true,
  maxHold: undefined,
  reentrant: false,
  signal: undefined,
};

/** How each option is read. An option that is not here does not exist. */
const READERS: { [Option in keyof Required<LockOptions>]: (value: unknown) => unknown } = {
  ttl: (value) => readDuration('ttl', value),
  wait: (value) => readDuration('wait', value, { least: 0, infinite: true }),
  renew: (value) => readBoolean('renew', value),
  maxHold: (value) => readDuration('maxHold', value),
  reentrant: (value) => readBoolean('reentrant', value),
  signal: readSignal,
  mode: (value) => readOnly('mode', value, 'exclusive'),
  limit: (value) => readOnly('limit', value, 1),
  minHold: (value) => readOnly('minHold', value, 0),
};

/**
 * Reads options over the settings that hold without them.
 * @throws LockConfigurationError that names the option and what was given
 */
export function readOptions(options: unknown, defaults: LockSettings = DEFAULTS): LockSettings {
  if (options === undefined) return defaults;
  checkIsOptions(options);
  const settings: Record<string, unknown> = { ...defaults };
  for (const [option, value] of Object.entries(options)) {
    if (!Object.hasOwn(READERS, option)) {
      throw new LockConfigurationError(`unknown option ${shown(option)}, got ${shown(value)}`);
    }
    if (value !== undefined) settings[option] = READERS[option as keyof LockOptions](value);
  }
  return settings as unknown as LockSettings;
}

/** @throws LockConfigurationError that names the option and what was given */
export function readLeaderTtl(options: unknown = {}, byDefault: number): number {
  checkIsOptions(options);
  for (const [option, value] of Object.entries(options)) {
    if (option !== 'ttl') {
      throw new LockConfigurationError(
        `unknown option ${shown(option)} of a leadership, got ${shown(value)}`,
      );
    }
  }
  const { ttl } = options as { ttl?: unknown };
  return ttl === undefined ? byDefault : readDuration('ttl', ttl);
}

/** @throws LockConfigurationError unless it has what the contract asks for */
export function checkBackend(backend: unknown): void {
  const { name, minTtl, connect } = (backend ?? {}) as Partial<LockBackend>;
  const fits =
    typeof backend === 'object' &&
    typeof name === 'string' &&
    typeof minTtl === 'number' &&
    typeof connect === 'function';
  if (!fits) {
    throw new LockConfigurationError(
      `backend must be a LockBackend, such as new MemoryBackend(), got ${shown(backend)}`,
    );
  }
}

/** @throws LockConfigurationError when the ttl is under what the backend can keep */
export function checkTtl(ttl: number, backend: { name: string; minTtl: number }): void {
  if (ttl < backend.minTtl) {
    throw new LockConfigurationError(
      `ttl must be at least ${backend.minTtl} ms on the ${backend.name} backend, got ${ttl}`,
    );
  }
}

function readBoolean(option: keyof LockOptions, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw new LockConfigurationError(`${option} must be true or false, got ${shown(value)}`);
}

function readSignal(value: unknown): AbortSignal {
  if (value instanceof AbortSignal) return value;
  throw new LockConfigurationError(`signal must be an AbortSignal, got ${shown(value)}`);
}

/** For what has its place in the options but is not offered yet. */
function readOnly<T>(option: keyof LockOptions, value: unknown, offered: T): T {
  if (value === offered) return offered;
  throw new LockConfigurationError(
    `${option} can only be ${shown(offered)} in this version, got ${shown(value)}`,
  );
}
