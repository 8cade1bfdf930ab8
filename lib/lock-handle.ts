import type { Lock, LockMode } from './interfaces/index.js';
import type { Lease, ReleaseOutcome } from './lease/lease.js';
import type { LockGuard } from './backends/lock-backend.js';
import { LockConfigurationError, LockLostError } from './errors/index.js';

/** One holder's view of a lease. Reentrant holders share a lease, each with a handle of its own. */
export class LockHandle implements Lock {
  readonly mode: LockMode = 'exclusive';
  #releasing: Promise<ReleaseOutcome> | undefined;

  constructor(
    /** @internal */
    readonly lease: Lease,
    private readonly giveBack: () => Promise<ReleaseOutcome>,
    private readonly readTtl: (ttl: unknown) => number,
  ) {}

  get key(): string {
    return this.lease.key;
  }

  get fencingToken(): number {
    return this.lease.token;
  }

  get signal(): AbortSignal {
    return this.lease.signal;
  }

  get held(): boolean {
    return this.#releasing === undefined && this.lease.held;
  }

  get remaining(): number {
    return this.held ? this.lease.remaining : 0;
  }

  /** @internal Why it ended before its holder gave it back. */
  get lost(): LockLostError | undefined {
    return this.lease.lost;
  }

  /** @internal Whether its holder gave it back. */
  get released(): boolean {
    return this.#releasing !== undefined;
  }

  assertHeld(): void {
    if (this.held) return;
    throw this.lease.lost ?? new LockLostError(this.key, 'released');
  }

  guard(): LockGuard {
    this.assertHeld();
    const { guard, key } = this.lease;
    if (guard !== undefined) return guard;
    throw new LockConfigurationError(
      `Lock "${key}" has no guard() on its backend: let the resource refuse smaller fencing tokens`,
      key,
    );
  }

  async renew(ttl?: number | string): Promise<void> {
    this.assertHeld();
    await this.lease.renew(ttl === undefined ? undefined : this.readTtl(ttl));
  }

  release(): Promise<ReleaseOutcome> {
    return (this.#releasing ??= this.giveBack());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}
