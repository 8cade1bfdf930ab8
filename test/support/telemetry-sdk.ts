import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';

/** What a metric has for some attributes. */
export interface Point {
  readonly attributes: Record<string, unknown>;
  /** Of a histogram: how often it was recorded, and the sum. */
  readonly value: number | { readonly count: number; readonly sum?: number };
}

/** OpenTelemetry's SDK in this process, which keeps what is exported. */
export class TelemetrySdk {
  readonly #metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  readonly #spans = new InMemorySpanExporter();
  readonly meterProvider = new MeterProvider({
    readers: [
      new PeriodicExportingMetricReader({
        exporter: this.#metrics,
        exportIntervalMillis: 3_600_000,
      }),
    ],
  });
  readonly tracerProvider = new TracerProvider({
    spanProcessors: [new SimpleSpanProcessor({ exporter: this.#spans })],
  });

  constructor() {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  }

  /** What a metric has now; nothing while it was never recorded. */
  async points(name: string): Promise<readonly Point[]> {
    return (await this.#collect()).get(name) ?? [];
  }

  /** The names of all that was ever recorded. */
  async recorded(): Promise<readonly string[]> {
    const all = [...(await this.#collect())].filter(([, points]) => points.length > 0);
    return all.map(([name]) => name);
  }

  /** How many points there are of all metrics together. */
  async series(): Promise<number> {
    return [...(await this.#collect()).values()].flat().length;
  }

  /** Those that have ended, in the order of that. */
  get spans(): readonly ReadableSpan[] {
    return this.#spans.getFinishedSpans();
  }

  span(name: string): ReadableSpan {
    const found = this.spans.find((span) => span.name === name);
    if (found !== undefined) return found;
    throw new Error(`no span ${name}, but ${this.spans.map((span) => span.name).join(', ')}`);
  }

  /** Runs it under a span of the user's. */
  under<T>(name: string, run: () => Promise<T>): Promise<T> {
    const tracer = this.tracerProvider.getTracer('the user');
    return tracer.startActiveSpan(name, async (span) => {
      try {
        return await run();
      } finally {
        span.end();
      }
    });
  }

  async stop(): Promise<void> {
    context.disable();
    trace.disable();
    await this.meterProvider.shutdown();
    await this.tracerProvider.shutdown();
  }

  async #collect(): Promise<Map<string, readonly Point[]>> {
    this.#metrics.reset();
    await this.meterProvider.forceFlush();
    const scopes = this.#metrics.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics);
    const metrics = scopes.flatMap((scope) => scope.metrics);
    return new Map(
      metrics.map(({ descriptor, dataPoints }) => [descriptor.name, dataPoints as Point[]]),
    );
  }
}
