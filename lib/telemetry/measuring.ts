import { LockError, type LockLostReason } from '../errors/index.js';
import type { HoldMessage, MessageSource } from './messages.js';
import type { Attributed, CounterName, HistogramName } from './metrics.js';
import { Subscriptions } from './subscriptions.js';
import { TokenWatch } from './token-watch.js';

/** Where measurements go. */
export interface Meters {
  record(metric: HistogramName, value: number, attributes: Attributed): void;
  count(metric: CounterName, by: number, attributes: Attributed): void;
}

/** An alert on the first of these must have seen a 0 before. */
const ALARMING = ['expired', 'stolen', 'maxHold', 'backend'] as const;

/** Of so many kinds of locks the counters begin with a 0. */
const MOST = 1_000;

/** What is measured only where it is asked for. */
export interface Extras {
  /** The size of the backend's calls. */
  readonly batches: boolean;
  /** Whence locks came. */
  readonly handoffs: boolean;
}

/** Makes measurements of what is told on the channels. Returns what ends it. */
export function measure(meters: Meters, { batches, handoffs }: Extras): () => void {
  const subscriptions = new Subscriptions();
  const tokens = new TokenWatch();
  const known = new Set<string>();

  const begin = (kind: string, counters: () => void) => {
    if (known.has(kind) || known.size >= MOST) return;
    known.add(kind);
    counters();
  };

  const beginLosses = (lock: Attributed) => {
    begin(JSON.stringify(lock), () => {
      for (const reason of ALARMING) {
        meters.count('nestjs_lock.losses', 0, { ...lock, lostReason: reasonOf(reason) });
      }
    });
  };

  subscriptions.onOver('acquire', (message) => {
    const { duration = 0, outcome, waited, handoff, error } = message;
    const errorType = error === undefined ? undefined : errorTypeOf(error);
    const attributes = {
      ...lockOf(message),
      acquireResult: outcome,
      acquireWaited: waited,
      acquireHandoff: handoffs ? handoff : undefined,
      errorType,
    };
    meters.record('nestjs_lock.acquire.duration', duration / 1_000, attributes);
  });

  subscriptions.onStart('hold', (message) => {
    const { keys, fencingTokens, service, mode, limit } = message;
    const [lock, store] = [lockOf(message), storeOf(message)];
    beginLosses(lock);
    begin(JSON.stringify(store), () => {
      meters.count('nestjs_lock.token.regressions', 0, store);
    });
    if (mode === 'shared' || limit > 1) return;
    const regressions = tokens.regressions(service, keys, fencingTokens);
    if (regressions > 0) meters.count('nestjs_lock.token.regressions', regressions, store);
  });

  subscriptions.onOver('hold', (message) => {
    const { heldFor = 0 } = message;
    const attributes = { ...lockOf(message), ...endOf(message) };
    meters.record('nestjs_lock.hold.duration', heldFor / 1_000, attributes);
  });

  subscriptions.on('lost', (message) => {
    const attributes = { ...lockOf(message), lostReason: reasonOf(message.reason) };
    meters.count('nestjs_lock.losses', 1, attributes);
  });

  subscriptions.on('renewed', (message) => {
    meters.record('nestjs_lock.lease.utilization', message.utilization, storeOf(message));
  });

  subscriptions.onOver('backend', (message) => {
    const { operation, duration = 0, requests, error } = message;
    const call = { ...storeOf(message), operation };
    const errorType = error === undefined ? undefined : errorTypeOf(error);
    meters.record('nestjs_lock.backend.operation.duration', duration / 1_000, {
      ...call,
      errorType,
    });
    if (batches) meters.record('nestjs_lock.backend.operation.requests', requests, call);
  });

  subscriptions.on('leadership', (message) => {
    if (message.state !== 'elected') return;
    beginLosses(lockOf({ ...message, mode: 'exclusive' }));
    const attributes = { template: message.template, ...storeOf(message) };
    meters.count('nestjs_lock.leadership.terms', 1, attributes);
  });

  return () => {
    subscriptions.end();
  };
}

/** What became of a hold. */
export function endOf({ outcome, error }: HoldMessage): Attributed {
  if (error !== undefined) return { holdResult: 'lost', lostReason: reasonOf(error.reason) };
  return { holdResult: outcome ?? 'released' };
}

export function reasonOf(reason: LockLostReason): string {
  return reason === 'maxHold' ? 'max_hold' : reason;
}

/** The code of an error of this package, else its class: few in any case. */
export function errorTypeOf(error: unknown): string {
  if (error instanceof LockError) return error.code;
  return error instanceof Error ? error.name : '_OTHER';
}

function storeOf({ backend, instance }: MessageSource): Attributed {
  return { backend, instance };
}

function lockOf(
  message: MessageSource & { readonly template: string | undefined; readonly mode: string },
): Attributed {
  return { template: message.template, mode: message.mode, ...storeOf(message) };
}
