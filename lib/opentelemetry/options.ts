import type { MeterProvider, TracerProvider } from '@opentelemetry/api';
import { LockConfigurationError } from '../errors/index.js';
import { shown, shownOption } from '../text/shown.js';
import { checkIsOptions } from '../options/option-checks.js';

/** How locks are shown to OpenTelemetry. */
export interface OpenTelemetryOptions {
  /**
   * Which requests for a lock have a span: all, those that waited or failed, or none. With `'none'`
   * neither has what runs under a lock.
   * @default 'waited'
   */
  spans?: 'all' | 'waited' | 'none';

  /**
   * How spans show the keys, which may tell of your customers: as they are, by a hash, or not at all.
   * Metrics never have them.
   * @default 'none'
   */
  keys?: 'plain' | 'hash' | 'none';

  /**
   * Whether each term of a leadership has a span, of its own trace: it ends when the term does, which
   * may be after weeks.
   * @default false
   */
  leadershipSpans?: boolean;

  /**
   * Whether the span of who waits for a lock links to who holds it. Within a LockService that is the
   * span of the hold; of another one, in any process with this option, the span in which that lock was
   * asked for, which then goes to the store with each request, and comes back by one `inspect` when
   * somebody begins to wait.
   * @default false
   */
  holderLinks?: boolean;

  /**
   * Whether it is measured about how many locks each call of the backend is:
   * `nestjs_lock.backend.operation.requests`.
   * @default false
   */
  batches?: boolean;

  /**
   * Whether it is told of each request whence its lock came, by the attribute `nestjs_lock.acquire.handoff` of
   * `nestjs_lock.acquire.duration`: `none`, `local` or `remote`.
   * @default false
   */
  handoffs?: boolean;

  /** @default the one that is registered with the API when this is called */
  meterProvider?: MeterProvider;

  /** @default the one that is registered with the API */
  tracerProvider?: TracerProvider;
}

/** Options as they are used. */
export type OpenTelemetrySettings = OpenTelemetryOptions &
  Required<
    Pick<
      OpenTelemetryOptions,
      'spans' | 'keys' | 'leadershipSpans' | 'holderLinks' | 'batches' | 'handoffs'
    >
  >;

const CHOICES = {
  spans: ['waited', 'all', 'none'],
  keys: ['none', 'plain', 'hash'],
  leadershipSpans: [false, true],
  holderLinks: [false, true],
  batches: [false, true],
  handoffs: [false, true],
} as const;

const PROVIDERS = { meterProvider: 'getMeter', tracerProvider: 'getTracer' } as const;

/** @throws LockConfigurationError that names the option and what was given */
export function readOpenTelemetryOptions(options: unknown = {}): OpenTelemetrySettings {
  checkIsOptions(options);
  const settings: Record<string, unknown> = {};
  for (const [option, choices] of Object.entries(CHOICES)) [settings[option]] = choices;
  for (const [option, value] of Object.entries(options)) {
    if (value !== undefined) settings[option] = read(option, value);
  }
  return settings as unknown as OpenTelemetrySettings;
}

function read(option: string, value: unknown): unknown {
  if (Object.hasOwn(CHOICES, option)) {
    const choices: readonly unknown[] = CHOICES[option as keyof typeof CHOICES];
    if (choices.includes(value)) return value;
    const allowed = choices.map((choice) => shown(choice)).join(' or ');
    throw new LockConfigurationError(`${option} must be ${allowed}, got ${shown(value)}`);
  }
  if (Object.hasOwn(PROVIDERS, option)) {
    const method = PROVIDERS[option as keyof typeof PROVIDERS];
    const provider = value as Partial<Record<string, unknown>> | null;
    if (typeof provider?.[method] === 'function') return value;
    throw new LockConfigurationError(`${option} must have ${method}(), got ${shown(value)}`);
  }
  throw new LockConfigurationError(
    `unknown option ${shown(option)}, got ${shownOption(option, value)}`,
  );
}
