import ms from 'ms';
import { LockConfigurationError } from './errors/index.js';
import type { LockOptions } from './interfaces/index.js';
import { shown } from './lock-key.js';

/** Options as they are used: read, checked, durations in milliseconds. */
export interface LockSettings {
  readonly ttl: number;
  readonly wait: number;
  readonly renew: boolean;
  readonly maxHold: number | undefined;
  readonly reentrant: boolean;
  readonly signal: AbortSignal | undefined;
}

/** What timers can count. */
const MAX_DURATION = 2 ** 31 - 1;

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
  wait: (value) => (value === Infinity ? Infinity : readDuration('wait', value, 0)),
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
  if (typeof options !== 'object' || options === null) {
    throw new LockConfigurationError(`options must be an object, got ${shown(options)}`);
  }
  const settings: Record<string, unknown> = { ...defaults };
  for (const [option, value] of Object.entries(options)) {
    if (!Object.hasOwn(READERS, option)) {
      throw new LockConfigurationError(`unknown option ${shown(option)}, got ${shown(value)}`);
    }
    if (value !== undefined) settings[option] = READERS[option as keyof LockOptions](value);
  }
  return settings as unknown as LockSettings;
}

/** @throws LockConfigurationError when the ttl is under what the backend can keep */
export function checkTtl(ttl: number, backend: { name: string; minTtl: number }): void {
  if (ttl < backend.minTtl) {
    throw new LockConfigurationError(
      `ttl must be at least ${backend.minTtl} ms on the ${backend.name} backend, got ${ttl}`,
    );
  }
}

/** Milliseconds from a number or from a string that `ms` reads. */
export function readDuration(option: string, value: unknown, least = 1): number {
  const duration = typeof value === 'string' ? parse(value) : value;
  const wanted = least === 0 ? 'a duration of 0 or more' : 'a positive duration';
  if (typeof duration !== 'number' || Number.isNaN(duration) || duration < 0) {
    throw new LockConfigurationError(`${option} must be ${wanted}, got ${shown(value)}`);
  }
  if (duration < least) {
    throw new LockConfigurationError(
      `${option} must be ${wanted} of at least ${least} ms, got ${shown(value)}`,
    );
  }
  if (duration > MAX_DURATION) {
    const orInfinity = least === 0 ? ' or Infinity' : '';
    throw new LockConfigurationError(
      `${option} must be at most ${MAX_DURATION} ms (24.8 days)${orInfinity}, got ${shown(value)}`,
    );
  }
  return Math.ceil(duration);
}

function parse(value: string): number | undefined {
  // `ms` throws on the empty string and on very long ones, and answers undefined to nonsense.
  if (value === '' || value.length > 100) return undefined;
  return ms(value as ms.StringValue) as number | undefined;
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
