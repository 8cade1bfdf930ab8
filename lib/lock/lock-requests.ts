import type { LockBackend } from '../backends/lock-backend.js';
import { LockReentrancyError } from '../errors/index.js';
import type { LockKey, LockOptions } from '../interfaces/index.js';
import { collect } from '../lease/collecting.js';
import { limitConflict } from '../lease/limit-conflict.js';
import type { Wish } from '../lease/waiter.js';
import { checkKey, readKeys } from '../options/lock-key.js';
import {
  checkFits,
  readOptions,
  type LeaderSettings,
  type LockSettings,
} from '../options/lock-options.js';
import { LEADER } from '../telemetry/caller.js';
import type { Reporter } from '../telemetry/reporter.js';
import { LockBundle } from './lock-bundle.js';
import { currentLock, heldByEmitter, lockHere, type HeldLock } from './lock-context.js';
import type { LockHandle } from './lock-handle.js';
import type { LockSession } from './lock-session.js';
import { waitForEmitter } from './wait-for-emitter.js';

/** How a leader's lock and a web lock are asked for, whatever the module's defaults for locks are. */
const STANDING = {
  wait: Infinity,
  renew: true,
  maxHold: undefined,
  minHold: 0,
  mode: 'exclusive',
  limit: 1,
  reentrant: false,
} as const;

interface LockRequestsContext {
  /** By which the service is known in an async context. */
  readonly identity: object;
  readonly backend: LockBackend;
  readonly defaults: LockSettings;
  readonly reporter: Reporter;
  /** @throws LockShutdownError when this caller can ask for nothing any more */
  readonly sessionFor: (key: string) => LockSession;
}

/**
 * How a caller comes by a lock: its options are read, it is looked what it runs under already, and only
 * then a lease is asked for.
 */
export class LockRequests {
  constructor(private readonly context: LockRequestsContext) {}

  /**
   * @param options as the caller gave them
   * @param once whether it is one attempt, and finding the lock busy is no failure
   */
  request(key: LockKey, options: LockOptions | undefined, once = false): Promise<HeldLock> {
    const { backend, defaults, reporter } = this.context;
    try {
      const read = readOptions(options, defaults);
      checkFits(read, backend);
      const settings = once ? { ...read, wait: 0 } : read;
      if (typeof key !== 'object') checkKey(key);
      const keys = typeof key === 'object' ? readKeys(key) : [key];
      if (!reporter.hearsOfAcquires) return this.ask(keys, settings);
      const toleratesBusy = once || settings.caller?.toleratesBusy === true;
      return reporter.acquire(keys, settings, toleratesBusy, (wish) => this.ask(keys, wish));
    } catch (error) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- it was thrown
      return Promise.reject(error);
    }
  }

  /** For who stands for a leadership, until the signal ends that. */
  async leader(key: string, terms: LeaderSettings, signal: AbortSignal): Promise<LockHandle> {
    const { defaults } = this.context;
    return this.take(key, { ...defaults, ...STANDING, ...terms, caller: LEADER, signal });
  }

  /** For who asks by the Web Locks API, which knows no reentrancy. */
  async webLock(
    key: string,
    terms: Pick<Wish, 'mode' | 'wait' | 'signal' | 'whenWaiting'>,
  ): Promise<LockHandle> {
    const { backend, defaults, reporter } = this.context;
    const settings = { ...defaults, ...STANDING, ...terms };
    checkFits(settings, backend);
    if (!reporter.hearsOfAcquires) return this.takeAnew(key, settings);
    const once = settings.wait === 0;
    return reporter.acquire([key], settings, once, (wish) => this.takeAnew(key, wish));
  }

  private ask(keys: readonly string[], settings: LockSettings): Promise<HeldLock> {
    const held = heldByEmitter(this.context.identity, keys);
    if (held === undefined) return this.takeAll(keys, settings);
    return waitForEmitter(settings, held, (wish) => this.takeAll(keys, wish));
  }

  private takeAll(keys: readonly string[], settings: LockSettings): Promise<HeldLock> {
    const only = keys.length === 1 ? keys[0] : undefined;
    return only === undefined ? this.takeSeveral(keys, settings) : this.take(only, settings);
  }

  private async takeSeveral(keys: readonly string[], settings: LockSettings): Promise<HeldLock> {
    const one = async (key: string, wish: LockSettings & Wish) => this.take(key, wish);
    const parts = await collect<LockHandle, LockSettings & Wish>(keys, settings, {
      one,
      all: (all, wish) => this.takeTogether(all, wish) ?? all.map((key) => one(key, wish)),
    });
    return new LockBundle(parts);
  }

  /** In one step, if the backend has one, and the caller runs under none of the keys. */
  private takeTogether(keys: readonly string[], wish: Wish): Promise<LockHandle>[] | undefined {
    if (keys.some((key) => currentLock(this.context.identity, key))) return undefined;
    const { leases, handle } = this.context.sessionFor(keys.join(', '));
    return leases.acquireAll(keys, wish, handle, lockHere());
  }

  private take(key: string, settings: LockSettings & Wish): Promise<LockHandle> {
    const outer = currentLock(this.context.identity, key);
    const upgrade = outer?.mode === 'shared' && settings.mode === 'exclusive';
    const mayEnter = settings.reentrant && !upgrade;
    const byEvent =
      outer !== undefined && heldByEmitter(this.context.identity, [key]) !== undefined;
    if (outer === undefined || (byEvent && !(mayEnter && outer.held))) {
      return this.takeAnew(key, settings);
    }
    settings.signal?.throwIfAborted();
    outer.assertHeld();
    if (!mayEnter) throw new LockReentrancyError(key, upgrade);
    const { limit } = outer.holding.lease;
    if (limit !== settings.limit) throw limitConflict(key, settings.limit, limit);
    return Promise.resolve(outer.share());
  }

  private takeAnew(key: string, wish: Wish): Promise<LockHandle> {
    const { leases, handle } = this.context.sessionFor(key);
    return leases.acquire(key, wish, handle, lockHere());
  }
}
