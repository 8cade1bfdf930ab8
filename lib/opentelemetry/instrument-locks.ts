import { metrics, trace } from '@opentelemetry/api';
import { exportMetrics } from './lock-metrics.js';
import { exportSpans } from './lock-spans.js';
import { readOpenTelemetryOptions, type OpenTelemetryOptions } from './options.js';

/** The scope of what is exported. */
const SCOPE = 'nestjs-lock';

/**
 * Has OpenTelemetry measure and trace all locks of this process, those that are held already
 * included. Call it once, after the SDK was started. Returns what ends it.
 * @throws LockConfigurationError for bad options
 *
 * @example
 * instrumentLocks({ spans: 'all', keys: 'hash' });
 */
export function instrumentLocks(options: OpenTelemetryOptions = {}): () => void {
  const settings = readOpenTelemetryOptions(options);
  const { meterProvider, tracerProvider } = settings;
  const meter = (meterProvider ?? metrics.getMeterProvider()).getMeter(SCOPE);
  const tracer = (tracerProvider ?? trace.getTracerProvider()).getTracer(SCOPE);
  const endings = [exportMetrics(meter, settings), exportSpans(tracer, settings)];
  return () => {
    for (const end of endings.splice(0)) end();
  };
}
