import type { LockBackend, Revocation } from '../backends/lock-backend.js';
import { LockConfigurationError } from '../errors/index.js';
import type { LockMode, LockOptions } from '../interfaces/index.js';
import { readDuration } from './duration.js';
import { checkIsOptions, isAbortSignal } from './option-checks.js';
import { shown, shownAddress, shownOption } from '../text/shown.js';
import { CALLER, type Caller, type WithCaller } from '../telemetry/caller.js';

/** Options as they are used: read, checked, durations in milliseconds. */
export interface LockSettings {
  readonly ttl: number;
  readonly wait: number;
  readonly renew: boolean;
  readonly maxHold: number | undefined;
  readonly minHold: number;
  readonly mode: LockMode;
  readonly limit: number;
  readonly reentrant: boolean;
  readonly signal: AbortSignal | undefined;
  readonly template?: string;
  readonly caller?: Caller;
}

const DEFAULTS: LockSettings = {
  ttl: 30_000,
  wait: 10_000,
  renew: true,
  maxHold: undefined,
  minHold: 0,
  mode: 'exclusive',
  limit: 1,
  reentrant: false,
  signal: undefined,
  // Here, as V8 adds them slowly to a copy: half of a decorated call (W7 of the bench).
  template: undefined,
  caller: undefined,
};

/** How each option is read. An option that is not here does not exist. */
const READERS: { [Option in keyof Required<LockOptions>]: (value: unknown) => unknown } = {
  ttl: (value) => readDuration('ttl', value),
  wait: (value) => readDuration('wait', value, { least: 0, infinite: true }),
  renew: (value) => readBoolean('renew', value),
  maxHold: (value) => readDuration('maxHold', value),
  reentrant: (value) => readBoolean('reentrant', value),
  signal: readSignal,
  mode: readMode,
  limit: readLimit,
  minHold: (value) => readDuration('minHold', value, { least: 0 }),
  template: readTemplate,
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
      throw new LockConfigurationError(
        `unknown option ${shown(option)}, got ${shownOption(option, value)}`,
      );
    }
    if (value !== undefined) settings[option] = READERS[option as keyof LockOptions](value);
  }
  const { [CALLER]: caller } = options as WithCaller;
  if (caller !== undefined) {
    settings.caller = caller;
    settings.template ??= caller.template;
  }
  const read = settings as unknown as LockSettings;
  if (read.mode === 'shared' && read.limit > 1) {
    throw new LockConfigurationError(
      `limit is not for readers, got ${read.limit} with mode 'shared'`,
    );
  }
  return read;
}

export interface LeaderSettings {
  /** Milliseconds. */
  readonly ttl: number;
  readonly template: string | undefined;
}

/** @throws LockConfigurationError that names the option and what was given */
export function readLeaderOptions(options: unknown = {}, ttlByDefault: number): LeaderSettings {
  checkIsOptions(options);
  for (const [option, value] of Object.entries(options)) {
    if (option !== 'ttl' && option !== 'template') {
      throw new LockConfigurationError(
        `unknown option ${shown(option)} of a leadership, got ${shownOption(option, value)}`,
      );
    }
  }
  const { ttl, template, [CALLER]: caller } = options as WithCaller & Record<string, unknown>;
  return {
    ttl: ttl === undefined ? ttlByDefault : readDuration('ttl', ttl),
    template: template === undefined ? caller?.template : readTemplate(template),
  };
}

/** @throws LockConfigurationError that names the option and what was given */
export function readRevocation(options: unknown): Revocation {
  checkIsOptions(options);
  for (const [option, value] of Object.entries(options)) {
    if (option !== 'reason' && option !== 'grace') {
      throw new LockConfigurationError(
        `unknown option ${shown(option)} of a revocation, got ${shownOption(option, value)}`,
      );
    }
  }
  const { reason = '', grace = '10s' } = options as { reason?: unknown; grace?: unknown };
  if (typeof reason !== 'string') {
    throw new LockConfigurationError(`reason must be a string, got ${shown(reason)}`);
  }
  return { reason, grace: readDuration('grace', grace, { least: 0 }) };
}

/** Longer ones are no name for a chart. */
const LONGEST_TEMPLATE = 200;

/** @throws LockConfigurationError that names the option and what was given */
export function readTemplate(template: unknown): string {
  const fits =
    typeof template === 'string' &&
    template !== '' &&
    template.length <= LONGEST_TEMPLATE &&
    template.isWellFormed();
  if (fits) return template;
  throw new LockConfigurationError(
    `template must be a string of 1 to ${LONGEST_TEMPLATE} characters, got ${shown(template)}`,
  );
}

/** Longer ones would be carried along with each request. */
export const LONGEST_LABEL = 100;

/** @throws LockConfigurationError that names the option and what was given */
export function readLabel(label: unknown): string {
  const fits = typeof label === 'string' && label.length <= LONGEST_LABEL && label.isWellFormed();
  if (fits) return label;
  throw new LockConfigurationError(
    `label must be a string of at most ${LONGEST_LABEL} characters, got ${shown(label)}`,
  );
}

/** @throws LockConfigurationError unless it has what the contract asks for */
export function checkBackend(backend: unknown): void {
  const { name, minTtl, supports, connect } = (backend ?? {}) as Partial<LockBackend>;
  const fits =
    typeof backend === 'object' &&
    typeof name === 'string' &&
    typeof minTtl === 'number' &&
    typeof supports === 'object' &&
    typeof connect === 'function';
  if (!fits) {
    throw new LockConfigurationError(
      `backend must be a LockBackend, such as new MemoryBackend(), got ${shownAddress(backend)}`,
    );
  }
}

/** @throws LockConfigurationError when the backend cannot do it */
export function checkFits({ ttl, mode, limit }: LockSettings, backend: LockBackend): void {
  checkTtl(ttl, backend);
  if (mode === 'shared' && !backend.supports.shared) {
    throw new LockConfigurationError(
      `mode must be 'exclusive' on the ${backend.name} backend, got 'shared'`,
    );
  }
  if (limit > 1 && !backend.supports.limit) {
    throw new LockConfigurationError(
      `limit must be 1 on the ${backend.name} backend, which cannot count, got ${limit}`,
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
  if (isAbortSignal(value)) return value;
  throw new LockConfigurationError(`signal must be an AbortSignal, got ${shown(value)}`);
}

function readMode(value: unknown): LockMode {
  if (value === 'exclusive' || value === 'shared') return value;
  throw new LockConfigurationError(`mode must be 'exclusive' or 'shared', got ${shown(value)}`);
}

function readLimit(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 1) return value as number;
  throw new LockConfigurationError(`limit must be a positive whole number, got ${shown(value)}`);
}
