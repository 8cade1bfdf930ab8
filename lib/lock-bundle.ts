import { Deadline } from './clock.js';
import { LockConfigurationError, type LockLostError, LockTimeoutError } from './errors/index.js';
import type { Lock, LockMode, ReleaseOutcome } from './interfaces/index.js';
import type { LockHandle } from './lock-handle.js';

/** Takes one of the keys, waiting for so many milliseconds. */
export type Take = (key: string, wait: number) => Promise<LockHandle>;

/** The locks of several keys as one: lost as soon as any of them is. */
export class LockBundle implements Lock {
  #signal: AbortSignal | undefined;
  #revocation: AbortSignal | undefined;
  #releasing: Promise<ReleaseOutcome> | undefined;

  constructor(private readonly parts: readonly LockHandle[]) {}

  /**
   * All or nothing, within `wait` for all of them. First all at once, as most are free; then one
   * after the other, so that no two callers wait for each other.
   *
   * @param keys sorted: the same order for everybody
   */
  static async take(keys: readonly string[], wait: number, take: Take): Promise<LockBundle> {
    const until = wait === Infinity ? undefined : Deadline.in(wait);
    try {
      return await LockBundle.#of(await takeAtOnce(keys, take));
    } catch (error) {
      if (wait === 0 || !(error instanceof LockTimeoutError)) throw error;
    }

    const taken: LockHandle[] = [];
    try {
      for (const key of keys) {
        if (until?.passed) throw new LockTimeoutError(key, wait);
        taken.push(await take(key, until === undefined ? Infinity : Math.ceil(until.remaining)));
      }
      return await LockBundle.#of(taken);
    } catch (error) {
      await releaseAll(taken);
      throw error instanceof LockTimeoutError ? new LockTimeoutError(error.key ?? '', wait) : error;
    }
  }

  /** @throws LockLostError, after all are given back, when one was lost while others were taken */
  static async #of(parts: readonly LockHandle[]): Promise<LockBundle> {
    const bundle = new LockBundle(parts);
    const { lost } = bundle;
    if (lost === undefined) return bundle;
    await bundle.release();
    throw lost;
  }

  get keys(): readonly string[] {
    return this.parts.map(({ key }) => key);
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
    return this.parts.every(({ mode }) => mode === 'shared') ? 'shared' : 'exclusive';
  }

  get signal(): AbortSignal {
    // Each of them looks at its clock.
    const signals = this.parts.map(({ signal }) => signal);
    return (this.#signal ??= AbortSignal.any(signals));
  }

  get revocation(): AbortSignal {
    const revocations = this.parts.map(({ revocation }) => revocation);
    return (this.#revocation ??= AbortSignal.any(revocations));
  }

  get held(): boolean {
    return this.parts.every(({ held }) => held);
  }

  get remaining(): number {
    return Math.min(...this.parts.map(({ remaining }) => remaining));
  }

  /** @internal Why it ended before its holder gave it back. */
  get lost(): LockLostError | undefined {
    return this.parts.find(({ lost }) => lost !== undefined)?.lost;
  }

  /** @internal Whether its holder gave it back. */
  get released(): boolean {
    return this.#releasing !== undefined;
  }

  /** @internal */
  of(key: string): LockHandle | undefined {
    return this.parts.find((part) => part.key === key);
  }

  fencingTokenOf(key: string): number {
    const part = this.of(key);
    if (part !== undefined) return part.fencingToken;
    throw new LockConfigurationError(`Lock "${this.key}" has no key "${key}"`, key);
  }

  assertHeld(): void {
    for (const part of this.parts) part.assertHeld();
  }

  guard(): never {
    throw new LockConfigurationError(
      `Lock "${this.key}" has a guard for each key: lock them one by one for it`,
      this.key,
    );
  }

  async renew(ttl?: number | string): Promise<void> {
    await Promise.all(this.parts.map((part) => part.renew(ttl)));
  }

  async downgrade(): Promise<void> {
    await Promise.all(this.parts.map((part) => part.downgrade()));
  }

  release(): Promise<ReleaseOutcome> {
    return (this.#releasing ??= releaseAll(this.parts));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** @throws LockTimeoutError when one of them is busy, unless another fails otherwise */
async function takeAtOnce(keys: readonly string[], take: Take): Promise<LockHandle[]> {
  const answers = await Promise.allSettled(keys.map((key) => take(key, 0)));
  const taken = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const failures = answers.flatMap((answer) =>
    answer.status === 'rejected' ? [answer.reason as unknown] : [],
  );
  if (failures.length === 0) return taken;
  await releaseAll(taken);

  throw failures.find((failure) => !(failure instanceof LockTimeoutError)) ?? failures[0];
}

/** What is worth telling of all: that of the first that was not simply released. */
async function releaseAll(parts: readonly LockHandle[]): Promise<ReleaseOutcome> {
  const outcomes = await Promise.all(parts.map((part) => part.release()));
  return outcomes.find((outcome) => outcome !== 'released') ?? 'released';
}
