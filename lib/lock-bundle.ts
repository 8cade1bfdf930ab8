import { Deadline, within } from './clock.js';
import {
  LockBackendError,
  LockConfigurationError,
  type LockLostError,
  LockTimeoutError,
} from './errors/index.js';
import type { Lock, LockMode, ReleaseOutcome } from './interfaces/index.js';
import { ATTEMPT_PATIENCE, type Wish } from './lease/waiter.js';
import type { LockHandle } from './lock-handle.js';

/**
 * Who is refused waits this long, within its own `wait`, until what was taken for it is given back,
 * in milliseconds: so that it does not find that in its way when it tries again at once.
 */
const GIVE_BACK_PATIENCE = 100;

/** How several keys are taken, in no more than the given time. */
export interface Taker {
  one(key: string, time: Pick<Wish, 'wait'>): Promise<LockHandle>;
  /** One attempt at each of them, in one step where the backend has one. */
  all(keys: readonly string[], time: Pick<Wish, 'wait' | 'attempt'>): Promise<LockHandle>[];
}

/** What became of taking several: without a failure all of them are taken. */
interface Taking {
  readonly parts: readonly LockHandle[];
  readonly failure?: unknown;
}

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
  static async take(
    keys: readonly string[],
    { wait, signal }: Pick<Wish, 'wait' | 'signal'>,
    take: Taker,
  ): Promise<LockBundle> {
    const whole = wait || ATTEMPT_PATIENCE;
    const end = Deadline.in(whole);
    const reserve = Math.min(GIVE_BACK_PATIENCE, whole / 10);
    const left = () => Math.ceil(end.remaining - reserve);

    const settle = async ({ parts, failure }: Taking): Promise<LockBundle> => {
      const bundle = new LockBundle(parts);
      const reason = failure ?? bundle.lost;
      if (reason === undefined) return bundle;
      // It goes on alone after that, and never rejects.
      await within(Math.min(GIVE_BACK_PATIENCE, end.remaining), bundle.release());
      signal?.throwIfAborted();
      throw withWait(reason, wait);
    };

    try {
      return await settle(await takeAtOnce(keys, Math.min(ATTEMPT_PATIENCE, left()), take));
    } catch (error) {
      if (wait === 0 || !mayPass(error)) throw error;
      return await settle(await takeInTurn(keys, left, error, take));
    }
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

async function takeAtOnce(keys: readonly string[], attempt: number, take: Taker): Promise<Taking> {
  const answers = await Promise.allSettled(take.all(keys, { wait: 0, attempt }));
  const parts = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const failures = answers.flatMap((answer) =>
    answer.status === 'rejected' ? [answer.reason as unknown] : [],
  );
  const failure =
    failures.find((one) => !mayPass(one)) ??
    failures.find((one) => !(one instanceof LockTimeoutError)) ??
    failures[0];
  return { parts, failure };
}

/** @param before why they were not to be had at once, which is also why there is no time left */
async function takeInTurn(
  keys: readonly string[],
  left: () => number,
  before: unknown,
  take: Taker,
): Promise<Taking> {
  const parts: LockHandle[] = [];
  for (const key of keys) {
    const wait = left();
    if (wait <= 0) return { parts, failure: before };
    try {
      parts.push(await take.one(key, { wait }));
    } catch (failure) {
      // With little time left, silence says nothing of the backend.
      const silent = failure instanceof LockBackendError && failure.cause === undefined;
      return { parts, failure: silent && wait < ATTEMPT_PATIENCE ? before : failure };
    }
  }
  return { parts };
}

/** Whether waiting may help: others hold it, or the backend did not answer. */
function mayPass(failure: unknown): boolean {
  return failure instanceof LockTimeoutError || failure instanceof LockBackendError;
}

/** The same, where a key is busy with the `wait` that the caller gave for all of them. */
function withWait(failure: unknown, wait: number): unknown {
  return failure instanceof LockTimeoutError
    ? new LockTimeoutError(failure.key ?? '', wait)
    : failure;
}

/** What is worth telling of all: that of the first that was not simply released. */
async function releaseAll(parts: readonly LockHandle[]): Promise<ReleaseOutcome> {
  const outcomes = await Promise.all(parts.map((part) => part.release()));
  return outcomes.find((outcome) => outcome !== 'released') ?? 'released';
}
