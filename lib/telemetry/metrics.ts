/** Attributes of metrics and spans: namespaced as OpenTelemetry's conventions want it, which have none for locks. */
export const ATTRIBUTES = {
  template: 'nestjs_lock.key.template',
  key: 'nestjs_lock.key',
  mode: 'nestjs_lock.mode',
  limit: 'nestjs_lock.limit',
  ttl: 'nestjs_lock.ttl',
  wait: 'nestjs_lock.wait',
  fencingToken: 'nestjs_lock.fencing_token',
  backend: 'nestjs_lock.backend',
  instance: 'nestjs_lock.instance',
  acquireResult: 'nestjs_lock.acquire.result',
  acquireWaited: 'nestjs_lock.acquire.waited',
  acquireHandoff: 'nestjs_lock.acquire.handoff',
  holdResult: 'nestjs_lock.hold.result',
  lostReason: 'nestjs_lock.lost.reason',
  operation: 'nestjs_lock.operation.name',
  errorType: 'error.type',
  functionName: 'code.function.name',
} as const;

type Attribute = keyof typeof ATTRIBUTES;

/** Which attributes have which value; those without are left out. */
export type Attributed = Readonly<
  Partial<Record<Attribute, string | number | boolean | undefined>>
>;

interface Metric {
  readonly type: 'histogram' | 'counter' | 'gauge';
  readonly unit: string;
  readonly description: string;
  readonly attributes: readonly Attribute[];
  readonly buckets?: readonly number[];
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

const lock = ['template', 'mode', 'backend', 'instance'] as const;
const store = ['backend', 'instance'] as const;

/** What is measured. Never by key, of which there may be millions: by the template that gives it. */
export const METRICS = {
  'nestjs_lock.acquire.duration': {
    type: 'histogram',
    unit: 's',
    description: 'From the call to the grant of a lock, or to its end without one',
    attributes: [...lock, 'acquireResult', 'acquireWaited', 'acquireHandoff', 'errorType'],
    buckets: SECONDS,
  },
  'nestjs_lock.acquire.active': {
    type: 'gauge',
    unit: '{request}',
    description: 'Callers of this process that wait for a lock now',
    attributes: lock,
  },
  'nestjs_lock.hold.duration': {
    type: 'histogram',
    unit: 's',
    description: 'From the grant of a lock to its release or loss',
    attributes: [...lock, 'holdResult', 'lostReason'],
    buckets: [...SECONDS, 60, 300, 1800],
  },
  'nestjs_lock.hold.active': {
    type: 'gauge',
    unit: '{lock}',
    description: 'Locks that this process holds now',
    attributes: lock,
  },
  'nestjs_lock.losses': {
    type: 'counter',
    unit: '{loss}',
    description: 'Locks that ended before they were given back',
    attributes: [...lock, 'lostReason'],
  },
  'nestjs_lock.lease.utilization': {
    type: 'histogram',
    unit: '1',
    description: 'Share of its validity that was gone when a lease was renewed: at 1 it is lost',
    attributes: store,
    buckets: [0.34, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1],
  },
  'nestjs_lock.backend.operation.duration': {
    type: 'histogram',
    unit: 's',
    description: 'Calls of the backend, from the question to the answer',
    attributes: [...store, 'operation', 'errorType'],
    buckets: SECONDS,
  },
  'nestjs_lock.backend.operation.requests': {
    type: 'histogram',
    unit: '{request}',
    description: 'Locks that one call of the backend was about',
    attributes: [...store, 'operation'],
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500],
  },
  'nestjs_lock.leadership.active': {
    type: 'gauge',
    unit: '{leadership}',
    description: 'Leaderships that this process has now, of those for which it stands',
    attributes: ['template', ...store],
  },
  'nestjs_lock.leadership.terms': {
    type: 'counter',
    unit: '{term}',
    description: 'Terms of leadership that began in this process',
    attributes: ['template', ...store],
  },
  'nestjs_lock.backend.paused': {
    type: 'gauge',
    unit: '{node}',
    description: 'Nodes of the store that lost their memory, and grant nothing new now',
    attributes: store,
  },
  'nestjs_lock.token.regressions': {
    type: 'counter',
    unit: '{regression}',
    description: 'Grants whose fencing token was not above all seen before: must stay 0',
    attributes: store,
  },
} as const satisfies Record<string, Metric>;

type Metrics = typeof METRICS;
type Named<Type> = {
  [Name in keyof Metrics]: Metrics[Name] extends { readonly type: Type } ? Name : never;
}[keyof Metrics];

export type MetricName = keyof Metrics;
export type HistogramName = Named<'histogram'>;
export type CounterName = Named<'counter'>;
export type GaugeName = Named<'gauge'>;

/** The metrics of one type. */
export function metricsOf<Type extends Metric['type']>(type: Type): readonly Named<Type>[] {
  const names = Object.keys(METRICS) as MetricName[];
  return names.filter((name): name is Named<Type> => METRICS[name].type === type);
}

/** The attributes by the names that are exported. */
export function named(attributes: Attributed): Record<string, string | number | boolean> {
  const all: Record<string, string | number | boolean> = {};
  const entries = Object.entries(attributes) as [Attribute, Attributed[Attribute]][];
  for (const [attribute, value] of entries) {
    if (value !== undefined) all[ATTRIBUTES[attribute]] = value;
  }
  return all;
}
