import type { Span } from '@opentelemetry/api';
import type { HoldMessage } from '../telemetry/messages.js';

/** A lock, as each message about one says it. */
interface ToldLock {
  readonly service: string;
  readonly key: string;
  readonly fencingToken: number;
}

/** The spans of the locks that are held. */
export class OpenHolds {
  /** By service and key, those of its holders by their tokens. */
  readonly #spans = new Map<string, Map<number, Span>>();

  add({ service, keys, fencingTokens }: HoldMessage, span: Span): void {
    keys.forEach((key, index) => {
      const id = idOf(service, key);
      let holders = this.#spans.get(id);
      if (holders === undefined) this.#spans.set(id, (holders = new Map<number, Span>()));
      holders.set(fencingTokens[index] ?? 0, span);
    });
  }

  delete({ service, keys, fencingTokens }: HoldMessage): void {
    keys.forEach((key, index) => {
      const id = idOf(service, key);
      const holders = this.#spans.get(id);
      holders?.delete(fencingTokens[index] ?? 0);
      if (holders?.size === 0) this.#spans.delete(id);
    });
  }

  find({ service, key, fencingToken }: ToldLock): Span | undefined {
    return this.#spans.get(idOf(service, key))?.get(fencingToken);
  }

  /** Of who holds the key by this service, by their tokens. */
  of(service: string, key: string): ReadonlyMap<number, Span> {
    return this.#spans.get(idOf(service, key)) ?? new Map<number, Span>();
  }
}

function idOf(service: string, key: string): string {
  return `${service}:${key}`;
}
