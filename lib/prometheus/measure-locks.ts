import { Counter, Gauge, Histogram, register, type Registry } from 'prom-client';
import { Gauges } from '../telemetry/gauges.js';
import { measure } from '../telemetry/measuring.js';
import {
  ATTRIBUTES,
  type Attributed,
  METRICS,
  type MetricName,
  metricsOf,
  named,
} from '../telemetry/metrics.js';
import { readPrometheusOptions, type PrometheusOptions } from './options.js';

/**
 * Has prom-client measure all locks of this process, those that are held already included. The
 * names, labels and buckets are those that OpenTelemetry's metrics get in Prometheus. Returns what
 * ends it, and takes the metrics out of the registry.
 * @throws LockConfigurationError for bad options; an Error of prom-client when the registry has them
 *
 * @example
 * measureLocks({ registry });
 */
export function measureLocks(options: PrometheusOptions = {}): () => void {
  const { registry = register, batches = false, handoffs = false } = readPrometheusOptions(options);
  const registers = [registry as Registry];
  const configurationOf = (name: MetricName) => ({
    name: prometheusName(name),
    help: METRICS[name].description,
    labelNames: METRICS[name].attributes.map((attribute) => labelOf(ATTRIBUTES[attribute])),
    registers,
  });

  const histograms = new Map<string, Histogram>();
  for (const name of metricsOf('histogram')) {
    if (name === 'nestjs_lock.backend.operation.requests' && !batches) continue;
    const buckets = [...METRICS[name].buckets];
    histograms.set(name, new Histogram({ ...configurationOf(name), buckets }));
  }
  const counters = new Map<string, Counter>();
  for (const name of metricsOf('counter')) counters.set(name, new Counter(configurationOf(name)));

  const gauges = new Gauges();
  for (const name of metricsOf('gauge')) {
    const gauge: Gauge = new Gauge({
      ...configurationOf(name),
      collect: () => {
        gauge.reset();
        for (const { metric, value, attributes } of gauges.read()) {
          if (metric === name) gauge.set(labelsOf(attributes), value);
        }
      },
    });
  }

  const end = measure(
    {
      record: (metric, value, attributes) => {
        histograms.get(metric)?.observe(labelsOf(attributes), value);
      },
      count: (metric, by, attributes) => {
        counters.get(metric)?.inc(labelsOf(attributes), by);
      },
    },
    { batches, handoffs },
  );
  return () => {
    end();
    for (const name of Object.keys(METRICS) as MetricName[]) {
      registry.removeSingleMetric(prometheusName(name));
    }
  };
}

/** As the OpenTelemetry collector, and Prometheus itself, translate it. */
function prometheusName(name: MetricName): string {
  const { type, unit } = METRICS[name];
  return labelOf(name) + (unit === 's' ? '_seconds' : '') + (type === 'counter' ? '_total' : '');
}

function labelOf(attribute: string): string {
  return attribute.replaceAll('.', '_');
}

function labelsOf(attributes: Attributed): Record<string, string> {
  return Object.fromEntries(
    Object.entries(named(attributes)).map(([name, value]) => [labelOf(name), String(value)]),
  );
}
