import {
  isSpanContextValid,
  type Link,
  type Span,
  type SpanContext,
  TraceFlags,
} from '@opentelemetry/api';
import type { LockState } from '../interfaces/index.js';
import { named } from '../telemetry/metrics.js';
import { outsideOfContexts } from '../time/timers.js';
import type { OpenHolds } from './open-holds.js';

/** Where many hold a lock together, so many of them are linked to. */
const MOST = 8;

/** Finds the spans of those who hold a lock, for the span of who waits for it. */
export class HolderLinks {
  /** What is being asked of the store, by service and key: once for all who begin to wait meanwhile. */
  readonly #looks = new Map<string, Promise<readonly Link[]>>();

  constructor(private readonly holds: OpenHolds) {}

  /**
   * At once, where they hold it by the same service; else when the store has said who they are. Of
   * holders without a span there is none.
   * @param look asks the store
   */
  find(
    service: string,
    key: string,
    look: () => Promise<LockState>,
    found: (links: readonly Link[]) => void,
  ): void {
    const local = this.holds.of(service, key);
    if (local.size > 0) {
      found(linksTo([...local].map(([token, span]) => [token, span.spanContext()])));
      return;
    }
    const id = `${service}:${key}`;
    let links = this.#looks.get(id);
    if (links === undefined) {
      links = outsideOfContexts(look)
        .then(linksToOthers)
        .finally(() => this.#looks.delete(id));
      this.#looks.set(id, links);
    }
    // Without an answer there is no link.
    links.then(found).catch(() => undefined);
  }
}

/** As the W3C's Trace Context writes it; undefined for a span that nobody will see. */
export function traceparentOf(span: Span | undefined): string | undefined {
  const context = span?.spanContext();
  if (context === undefined || !isSeen(context)) return undefined;
  return `00-${context.traceId}-${context.spanId}-01`;
}

function linksToOthers({ holders }: LockState): readonly Link[] {
  return linksTo(
    holders
      .filter(({ owner }) => !owner.isSelf)
      .map(({ owner, fencingToken }) => [fencingToken, contextIn(owner.traceparent)]),
  );
}

function contextIn(traceparent: string | undefined): SpanContext | undefined {
  const [, traceId, spanId, flags] = traceparent?.split('-') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
}

function linksTo(
  holders: readonly (readonly [token: number, context: SpanContext | undefined])[],
): readonly Link[] {
  return holders
    .flatMap(([fencingToken, context]) =>
      context === undefined || !isSeen(context)
        ? []
        : [{ context, attributes: named({ fencingToken }) }],
    )
    .slice(0, MOST);
}

/** Whether it is a span, and one that is exported. */
function isSeen(context: SpanContext): boolean {
  return isSpanContextValid(context) && (context.traceFlags & TraceFlags.SAMPLED) !== 0;
}
