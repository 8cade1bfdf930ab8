import type { InspectOptionsStylized } from 'node:util';
import { LockConfigurationError, type LockLostError } from '../errors/index.js';
import type { Lock, LockMode, ReleaseOutcome } from '../interfaces/index.js';
import type { LockHandle } from './lock-handle.js';
import { PRINTED, printed } from '../text/printed.js';

/** The locks of several keys as one: lost as soon as any of them is. */
export class LockBundle implements Lock {
  readonly #parts: readonly LockHandle[];
  #signal: AbortSignal | undefined;
  #revocation: AbortSignal | undefined;
  #releasing: Promise<ReleaseOutcome> | undefined;
  #whenReleased: ((outcome: ReleaseOutcome) => void)[] | undefined;

  constructor(parts: readonly LockHandle[]) {
    this.#parts = parts;
  }

  get keys(): readonly string[] {
    return this.#parts.map(({ key }) => key);
  }

  get key(): string {
    return this.keys.join(', ');
  }

  get fencingToken(): never {
    throw new LockConfigurationError(
      `Each key of "${this.key}" has a fencing token of its own: ask fencingTokenOf(key)`,
      this.key,
    );
  }

  /** Shared only when all of them are. */
  get mode(): LockMode {
    return this.#parts.every(({ mode }) => mode === 'shared') ? 'shared' : 'exclusive';
  }

  get signal(): AbortSignal {
    // Each of them looks at its clock.
    const signals = this.#parts.map(({ signal }) => signal);
    return (this.#signal ??= anyOf(signals));
  }

  get revocation(): AbortSignal {
    const revocations = this.#parts.map(({ revocation }) => revocation);
    return (this.#revocation ??= anyOf(revocations));
  }

  get held(): boolean {
    return this.#parts.every(({ held }) => held);
  }

  get remaining(): number {
    return Math.min(...this.#parts.map(({ remaining }) => remaining));
  }

  /** @internal Why it ended before its holder gave it back. */
  get lost(): LockLostError | undefined {
    return this.#parts.find(({ lost }) => lost !== undefined)?.lost;
  }

  /** @internal Whether its holder gave it back. */
  get released(): boolean {
    return this.#releasing !== undefined;
  }

  /** @internal */
  get parts(): readonly LockHandle[] {
    return this.#parts;
  }

  /** @internal */
  of(key: string): LockHandle | undefined {
    return this.#parts.find((part) => part.key === key);
  }

  fencingTokenOf(key: string): number {
    const part = this.of(key);
    if (part !== undefined) return part.fencingToken;
    throw new LockConfigurationError(`Lock "${this.key}" has no key "${key}"`, key);
  }

  assertHeld(): void {
    for (const part of this.#parts) part.assertHeld();
  }

  guard(): never {
    throw new LockConfigurationError(
      `Lock "${this.key}" has a guard for each key: lock them one by one for it`,
      this.key,
    );
  }

  async renew(ttl?: number | string): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.renew(ttl)));
  }

  async downgrade(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.downgrade()));
  }

  release(): Promise<ReleaseOutcome> {
    if (this.#releasing === undefined) {
      this.#releasing = releaseAll(this.#parts);
      for (const tell of this.#whenReleased ?? []) void this.#releasing.then(tell);
    }
    return this.#releasing;
  }

  /** @internal Calls back when its holder gave it back, with what became of that. */
  onReleased(tell: (outcome: ReleaseOutcome) => void): void {
    (this.#whenReleased ??= []).push(tell);
  }

  /** @internal What is logged of it. */
  toJSON(): object {
    const { keys, mode, held, remaining, lost, released } = this;
    const fencingTokens = Object.fromEntries(
      this.#parts.map(({ key, fencingToken }) => [key, fencingToken]),
    );
    const facts = { keys, mode, fencingTokens, held, remaining: Math.floor(remaining) };
    if (lost !== undefined) return { ...facts, lost: lost.reason };
    return released ? { ...facts, released } : facts;
  }

  /** @internal */
  [PRINTED](depth: number, options: InspectOptionsStylized): string {
    return printed('Lock', this.toJSON(), depth, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** What is worth telling of all: that of the first that was not simply released. */
async function releaseAll(parts: readonly LockHandle[]): Promise<ReleaseOutcome> {
  const outcomes = await Promise.all(parts.map((part) => part.release()));
  return outcomes.find((outcome) => outcome !== 'released') ?? 'released';
}

/** As AbortSignal.any(), also for signals that another class made than the global one of now. */
function anyOf(signals: readonly AbortSignal[]): AbortSignal {
  const controller = new AbortController();
  for (const signal of signals) {
    const abort = () => {
      controller.abort(signal.reason);
    };
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  }
  return controller.signal;
}
