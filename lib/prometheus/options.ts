import type { Registry } from 'prom-client';
import { LockConfigurationError } from '../errors/index.js';
import { shown, shownOption } from '../text/shown.js';
import { checkIsOptions } from '../options/option-checks.js';

/** How locks are shown to Prometheus. */
export interface PrometheusOptions {
  /** @default prom-client's own, which @willsoto/nestjs-prometheus shows as well */
  registry?: Pick<Registry, 'registerMetric' | 'removeSingleMetric'>;

  /**
   * Whether it is measured about how many locks each call of the backend is:
   * `nestjs_lock_backend_operation_requests`.
   * @default false
   */
  batches?: boolean;

  /**
   * Whether it is told of each request whence its lock came, by the label `nestjs_lock_acquire_handoff`
   * of `nestjs_lock_acquire_duration_seconds`: `none`, `local` or `remote`.
   * @default false
   */
  handoffs?: boolean;
}

const OPTIONS = ['registry', 'batches', 'handoffs'];

/** @throws LockConfigurationError that names the option and what was given */
export function readPrometheusOptions(options: unknown = {}): PrometheusOptions {
  checkIsOptions(options);
  for (const [option, value] of Object.entries(options)) {
    if (!OPTIONS.includes(option)) {
      throw new LockConfigurationError(
        `unknown option ${shown(option)}, got ${shownOption(option, value)}`,
      );
    }
  }
  const { registry, ...flags } = options as Record<string, unknown>;
  const { registerMetric } = (registry ?? {}) as Partial<Registry>;
  if (registry !== undefined && typeof registerMetric !== 'function') {
    throw new LockConfigurationError(
      `registry must be a Registry of prom-client, got ${shown(registry)}`,
    );
  }
  for (const [option, value] of Object.entries(flags)) {
    if (value !== undefined && typeof value !== 'boolean') {
      throw new LockConfigurationError(`${option} must be true or false, got ${shown(value)}`);
    }
  }
  return options;
}
