import type { Counter, Histogram, Meter, Observable } from '@opentelemetry/api';
import { Gauges } from '../telemetry/gauges.js';
import { type Extras, measure } from '../telemetry/measuring.js';
import { METRICS, metricsOf, named, type MetricName } from '../telemetry/metrics.js';

/** Makes OpenTelemetry's metrics of what happens to locks. Returns what ends it. */
export function exportMetrics(meter: Meter, extras: Extras): () => void {
  const histograms = new Map<string, Histogram>(
    metricsOf('histogram').map((name) => {
      const advice = { explicitBucketBoundaries: [...METRICS[name].buckets] };
      return [name, meter.createHistogram(name, { ...optionsOf(name), advice })];
    }),
  );
  const counters = new Map<string, Counter>(
    metricsOf('counter').map((name) => [name, meter.createCounter(name, optionsOf(name))]),
  );
  const observed = new Map<string, Observable>(
    metricsOf('gauge').map((name) => [
      name,
      meter.createObservableUpDownCounter(name, optionsOf(name)),
    ]),
  );

  const gauges = new Gauges();
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
    for (const { metric, value, attributes } of gauges.read()) {
      const instrument = observed.get(metric);
      if (instrument !== undefined) result.observe(instrument, value, named(attributes));
    }
  };
  const instruments = [...observed.values()];
  meter.addBatchObservableCallback(observe, instruments);

  const end = measure(
    {
      record: (metric, value, attributes) => {
        histograms.get(metric)?.record(value, named(attributes));
      },
      count: (metric, by, attributes) => {
        counters.get(metric)?.add(by, named(attributes));
      },
    },
    extras,
  );
  return () => {
    end();
    meter.removeBatchObservableCallback(observe, instruments);
  };
}

function optionsOf(name: MetricName) {
  const { description, unit } = METRICS[name];
  return { description, unit };
}
