import { createHash } from 'node:crypto';
import {
  context,
  ROOT_CONTEXT,
  type Context,
  type Link,
  type Span,
  SpanStatusCode,
  trace,
  type Tracer,
} from '@opentelemetry/api';
import { endOf, errorTypeOf, reasonOf } from '../telemetry/measuring.js';
import type { AcquireMessage, HoldMessage, MessageSource } from '../telemetry/messages.js';
import { ATTRIBUTES, type Attributed, named } from '../telemetry/metrics.js';
import { type Followed, type Follower, FOLLOWER } from '../telemetry/follower.js';
import { Subscriptions } from '../telemetry/subscriptions.js';
import { AROUND, type Surroundable } from '../telemetry/trace.js';
import { HolderLinks, traceparentOf } from './holder-links.js';
import { OpenHolds } from './open-holds.js';
import type { OpenTelemetrySettings } from './options.js';

/** A request that is under way: its span is made at its end when only that tells whether it has one. */
interface Request {
  readonly since: number;
  readonly around: Context;
  readonly span: Span | undefined;
  /** To the holders that it waits for. */
  readonly links: Link[];
}

/** Makes OpenTelemetry's spans of what happens to locks. Returns what ends it. */
export function exportSpans(tracer: Tracer, settings: OpenTelemetrySettings): () => void {
  const { spans, keys, leadershipSpans } = settings;
  const subscriptions = new Subscriptions();
  const requests = new WeakMap<AcquireMessage, Request>();
  const holds = new WeakMap<HoldMessage, Span>();
  const open = new OpenHolds();
  const holderLinks = settings.holderLinks ? new HolderLinks(open) : undefined;
  const shownKeys = keyReader(keys);

  const fail = (span: Span, error: unknown) => {
    span.setAttribute(ATTRIBUTES.errorType, errorTypeOf(error));
    // Messages name the key.
    const message = keys === 'plain' && error instanceof Error ? error.message : undefined;
    span.setStatus({ code: SpanStatusCode.ERROR, message });
  };

  const startAcquire = (message: AcquireMessage, request: Omit<Request, 'span'>) => {
    const { ttl, wait, limit } = message;
    const { since, around, links } = request;
    return tracer.startSpan(
      nameOf('acquire', message),
      {
        startTime: since,
        links,
        attributes: {
          ...named({ ...lockOf(message), limit, ttl: ttl / 1_000, wait: wait / 1_000 }),
          ...shownKeys(message.keys),
        },
      },
      around,
    );
  };

  const follow = (message: AcquireMessage, { around, span, links }: Request): Follower => {
    const seen = new Set<string>();
    const add = (found: readonly Link[]) => {
      if (!requests.has(message)) return;
      if (span === undefined) links.push(...found);
      else span.addLinks([...found]);
    };
    return {
      traceparent: traceparentOf(span ?? trace.getSpan(around)),
      waits: (key, look) => {
        if (seen.has(key)) return;
        seen.add(key);
        subscriptions.safely(() => holderLinks?.find(message.service, key, look, add));
      },
    };
  };

  if (spans !== 'none') {
    subscriptions.onStart('acquire', (message) => {
      const begun = { since: Date.now(), around: context.active(), links: [] };
      const span = spans === 'all' ? startAcquire(message, begun) : undefined;
      const request = { ...begun, span };
      requests.set(message, request);
      if (span !== undefined) putAround(message, trace.setSpan(begun.around, span));
      if (holderLinks !== undefined) (message as Followed)[FOLLOWER] = follow(message, request);
    });

    subscriptions.onOver('acquire', (message) => {
      const request = requests.get(message);
      const { waited, outcome, error } = message;
      if (request === undefined) return;
      requests.delete(message);
      if (request.span === undefined && !waited && !isFailure(message)) return;
      const span = request.span ?? startAcquire(message, request);
      span.setAttributes({
        ...named({ acquireResult: outcome, acquireWaited: waited }),
        ...tokenOf(message.fencingTokens),
      });
      if (error !== undefined) fail(span, error);
      span.end();
    });

    subscriptions.onStart('hold', (message) => {
      const around = context.active();
      const attributes = {
        ...named({ ...lockOf(message), limit: message.limit }),
        ...shownKeys(message.keys),
        ...tokenOf(message.fencingTokens),
      };
      const span = tracer.startSpan(nameOf('hold', message), { attributes }, around);
      holds.set(message, span);
      open.add(message, span);
      putAround(message, trace.setSpan(around, span));
    });

    subscriptions.onOver('hold', (message) => {
      open.delete(message);
      const span = holds.get(message);
      if (span === undefined) return;
      span.setAttributes(named(endOf(message)));
      if (message.error !== undefined) fail(span, message.error);
      span.end();
    });

    subscriptions.on('lost', (message) => {
      const attributes = named({ lostReason: reasonOf(message.reason) });
      open.find(message)?.addEvent('nestjs_lock.lost', attributes);
    });

    subscriptions.on('revocation', (message) => {
      open.find(message)?.addEvent('nestjs_lock.revocation');
    });
  }

  if (leadershipSpans) {
    const terms = new Map<string, Span>();
    subscriptions.on('leadership', (message) => {
      const id = idOf(message);
      if (message.state === 'deposed') {
        terms.get(id)?.end();
        terms.delete(id);
        return;
      }
      const { template, backend, instance } = message;
      const attributes = {
        ...named({ template, backend, instance }),
        ...shownKeys([message.key]),
        ...tokenOf([message.fencingToken]),
      };
      const span = tracer.startSpan(
        nameOf('lead', message),
        { attributes, root: true },
        ROOT_CONTEXT,
      );
      terms.set(id, span);
    });
  }

  return () => {
    subscriptions.end();
  };
}

/** Others hold it: that is an answer. Whatever else is in the way is a failure. */
function isFailure({ outcome }: AcquireMessage): boolean {
  return outcome === 'failed';
}

function putAround(message: object, inside: Context): void {
  (message as Surroundable)[AROUND] = (run) => context.with(inside, run);
}

function nameOf(what: string, { template = 'lock' }: { template: string | undefined }): string {
  return `${what} ${template}`;
}

function lockOf(message: AcquireMessage | HoldMessage): Attributed {
  const { template, mode, backend, instance, where } = message;
  return { template, mode, backend, instance, functionName: where };
}

/** Of several keys there is none for all. */
function tokenOf(tokens: readonly number[] | undefined) {
  const [token, ...others] = tokens ?? [];
  return others.length > 0 ? {} : named({ fencingToken: token });
}

function idOf(
  lock: MessageSource & { readonly key: string; readonly fencingToken: number },
): string {
  return `${lock.service}:${lock.fencingToken}:${lock.key}`;
}

function keyReader(keys: OpenTelemetrySettings['keys']) {
  if (keys === 'none') return () => ({});
  const shownAs = keys === 'plain' ? (key: string) => key : hashOf;
  return (all: readonly string[]) => {
    const [only = '', ...others] = all.map(shownAs);
    return { [ATTRIBUTES.key]: others.length === 0 ? only : [only, ...others] };
  };
}

/** Enough to tell keys apart. Who knows which keys there may be can find out which it is. */
function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 16);
}
