import type { InspectOptionsStylized } from 'node:util';
import type { Lock, LockMode, ReleaseOutcome } from '../interfaces/index.js';
import type { LeaseHolding } from '../lease/lease.js';
import type { LockGuard, SqlGuard } from '../backends/lock-backend.js';
import { LockConfigurationError, LockLostError } from '../errors/index.js';
import { PRINTED, printed } from '../text/printed.js';

/** What a handle needs of the service that gave it. */
export interface Keeper {
  release(holding: LeaseHolding): ReleaseOutcome | Promise<ReleaseOutcome>;
  downgrade(holding: LeaseHolding): Promise<void>;
  /** @throws LockConfigurationError */
  readTtl(given: unknown): number;
}

/** One holder's view of its holding. Reentrant holders share one, each with a handle of its own. */
export class LockHandle implements Lock {
  // Private by name: what is behind it, down to the client's password, is for no printer.
  readonly #holding: LeaseHolding;
  readonly #keeper: Keeper;
  #releasing: Promise<ReleaseOutcome> | undefined;
  #whenReleased: ((outcome: ReleaseOutcome) => void)[] | undefined;

  constructor(holding: LeaseHolding, keeper: Keeper) {
    this.#holding = holding;
    this.#keeper = keeper;
  }

  /** @internal */
  get holding(): LeaseHolding {
    return this.#holding;
  }

  get key(): string {
    return this.#holding.key;
  }

  get mode(): LockMode {
    return this.#holding.mode;
  }

  get keys(): readonly string[] {
    return [this.key];
  }

  get fencingToken(): number {
    return this.#holding.token;
  }

  fencingTokenOf(key: string): number {
    if (key === this.key) return this.fencingToken;
    throw new LockConfigurationError(`Lock "${this.key}" has no key "${key}"`, key);
  }

  /** @internal */
  get parts(): readonly LockHandle[] {
    return [this];
  }

  /** @internal */
  of(key: string): LockHandle | undefined {
    return key === this.key ? this : undefined;
  }

  /** @internal One more holder of the lock, which is given back with the last of them. */
  share(): LockHandle {
    this.#holding.share();
    return new LockHandle(this.#holding, this.#keeper);
  }

  get signal(): AbortSignal {
    return this.#holding.signal;
  }

  get revocation(): AbortSignal {
    return this.#holding.revocation;
  }

  get held(): boolean {
    return this.#releasing === undefined && this.#holding.held;
  }

  get remaining(): number {
    return this.held ? this.#holding.remaining : 0;
  }

  /** @internal Why it ended before its holder gave it back. */
  get lost(): LockLostError | undefined {
    return this.#holding.lost;
  }

  /** @internal Calls back once when it is lost, however long its holder goes on. */
  onLost(tell: () => void): void {
    this.#holding.onLost(tell);
  }

  /** @internal Whether its holder gave it back. */
  get released(): boolean {
    return this.#releasing !== undefined;
  }

  assertHeld(): void {
    if (this.held) return;
    throw this.#holding.lost ?? new LockLostError(this.key, 'released');
  }

  guard(): LockGuard;
  guard(kind: 'sql'): SqlGuard;
  guard(kind?: 'sql'): LockGuard | SqlGuard {
    this.assertHeld();
    const { guard, key } = this.#holding;
    if (guard !== undefined && 'text' in guard === (kind === 'sql')) return guard;
    const name = kind === undefined ? 'guard()' : `guard('${kind}')`;
    throw new LockConfigurationError(
      `Lock "${key}" has no ${name} on its backend: let the resource refuse smaller fencing tokens`,
      key,
    );
  }

  async renew(ttl?: number | string): Promise<void> {
    this.assertHeld();
    await this.#holding.lease.renew(ttl === undefined ? undefined : this.#keeper.readTtl(ttl));
  }

  async downgrade(): Promise<void> {
    this.assertHeld();
    const { key, mode } = this;
    const holding = this.#holding;
    if (mode === 'shared' && !holding.lease.isDowngrading) return;
    if (holding.lease.limit > 1) {
      throw new LockConfigurationError(`Lock "${key}" has a limit, and so no readers`, key);
    }
    if (holding.isShared) {
      throw new LockConfigurationError(
        `Lock "${key}" is held by several reentrant holders, who count on it`,
        key,
      );
    }
    await this.#keeper.downgrade(holding);
  }

  release(): Promise<ReleaseOutcome> {
    if (this.#releasing === undefined) {
      this.#releasing = Promise.resolve(this.#keeper.release(this.#holding));
      this.#whenReleased?.forEach((tell) => void this.#releasing?.then(tell));
    }
    return this.#releasing;
  }

  /** @internal Calls back when its holder gave it back, with what became of that. */
  onReleased(tell: (outcome: ReleaseOutcome) => void): void {
    (this.#whenReleased ??= []).push(tell);
  }

  /** @internal What is logged of it. */
  toJSON(): object {
    const { key, mode, fencingToken, held, remaining, lost, released } = this;
    const facts = { key, mode, fencingToken, held, remaining: Math.floor(remaining) };
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
