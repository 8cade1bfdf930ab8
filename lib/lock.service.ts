import type { InspectOptionsStylized } from 'node:util';
import {
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import type { LockBackend } from './backends/lock-backend.js';
import { MemoryBackend } from './backends/memory/memory.backend.js';
import { LockConfigurationError, LockShutdownError, LockTimeoutError } from './errors/index.js';
import type {
  LeaderOptions,
  Leadership,
  Lock,
  LockKey,
  LockModuleOptions,
  LockOptions,
  LockState,
  LockStats,
  RevokeOptions,
  WebLockManager,
} from './interfaces/index.js';
import { Leaderships } from './leadership/leaderships.js';
import { currentLock, lockHere, runUnder, type HeldLock } from './lock/lock-context.js';
import { LockRequests } from './lock/lock-requests.js';
import { LockSession } from './lock/lock-session.js';
import { shown } from './text/shown.js';
import { checkKey } from './options/lock-key.js';
import { getLockServiceToken } from './lock.constants.js';
import {
  checkFits,
  checkTtl,
  readLeaderOptions,
  readRevocation,
  type LockSettings,
} from './options/lock-options.js';
import { readModuleOptions } from './options/module-options.js';
import { PRINTED, printed } from './text/printed.js';
import { Shutdown, type Ending } from './lock/shutdown.js';
import { outsideOfContexts } from './time/timers.js';
import { Reporter } from './telemetry/reporter.js';
import { countLeaderships, countLocks } from './telemetry/stats.js';
import { WebLocks } from './web-locks/web-locks.js';

/** What `withLock` runs, with the lock at hand. */
export type LockedBody<T> = (lock: Lock) => Promise<T> | T;

/**
 * Takes and gives back locks. Inject it where a decorator is not enough.
 *
 * Also works without Nest: `new LockService({ backend })`, then `close()` at the end.
 */
@Injectable()
export class LockService implements OnModuleInit, BeforeApplicationShutdown, OnApplicationShutdown {
  /** Known by this in an async context: an application may put a proxy around each instance. */
  private readonly identity = {};
  private readonly backend: LockBackend;
  private readonly defaults: LockSettings;
  private readonly ending: Ending;
  private shutdown: Shutdown;
  private readonly label: string;
  private readonly reporter: Reporter;
  private readonly requests: LockRequests;
  private readonly logger = new Logger('LockService');
  private readonly warn = (message: string): void => {
    this.logger.warn(message);
    this.reporter.warned(message);
  };
  private readonly leaderships = new Leaderships({
    acquire: (key, terms, signal) => this.requests.leader(key, terms, signal),
    runUnder: (lock, body) => runUnder(this.identity, lock.share(), body),
    inspect: (key) => this.inspect(key),
    warn: this.warn,
    turned: ({ holding }, state) => {
      this.reporter.leadership(holding, state);
    },
  });
  private webLocks: WebLocks | undefined;
  /** From its first use on; 'over' when it was closed before. */
  private session: LockSession | 'over' | undefined;

  /**
   * @param name the instance that decorators name, when there are several
   * @throws LockConfigurationError for bad options
   */
  constructor(
    options: LockModuleOptions = {},
    readonly name?: string,
  ) {
    const {
      backend = new MemoryBackend(),
      label,
      shutdownGrace,
      defaults,
    } = readModuleOptions(options);
    checkFits(defaults, backend);
    this.backend = backend;
    this.defaults = defaults;
    this.ending = this.endingAfter(shutdownGrace);
    this.shutdown = new Shutdown(this.ending);
    this.label = label;
    this.reporter = new Reporter(backend.name, name, (key) => this.inspect(key));
    this.requests = new LockRequests({
      identity: this.identity,
      backend,
      defaults,
      reporter: this.reporter,
      sessionFor: (key) => this.sessionFor(key),
    });
  }

  /**
   * Resolves with the lock, queueing for up to `wait`. Several keys are locked as one, all or none:
   * at once if all are free, else one after the other in an order that is everybody's.
   * @throws LockTimeoutError when others held it all that time; LockBackendError when the backend
   * did not answer; LockReentrancyError when the caller runs under it, by {@link withLock} or a
   * decorator; LockLostError when it did and lost it; the reason of `signal` when that aborts
   */
  acquire(key: LockKey, options?: LockOptions): Promise<Lock> {
    const lock = this.requests.request(key, options);
    return this.reporter.hearsOfHolds ? lock.then(this.toldOf) : lock;
  }

  /**
   * Exactly one attempt: null only when the lock is held by another. Otherwise as {@link acquire}.
   * @throws LockConfigurationError when those who use it have another `limit`
   */
  async tryAcquire(key: LockKey, options?: Omit<LockOptions, 'wait'>): Promise<Lock | null> {
    try {
      const lock = await this.requests.request(key, options, true);
      return this.reporter.hearsOfHolds ? this.toldOf(lock) : lock;
    } catch (error) {
      if (error instanceof LockTimeoutError) return null;
      throw error;
    }
  }

  /**
   * Runs `body` under the lock, and gives the lock back whatever becomes of it. Resolves to what
   * `body` resolves to. An error of the body always wins over one of the lock.
   * @throws what {@link acquire} throws, before `body` is called; LockLostError when the lock was
   * lost before the body had settled
   */
  withLock<T>(key: LockKey, body: LockedBody<T>): Promise<T>;
  withLock<T>(key: LockKey, options: LockOptions, body: LockedBody<T>): Promise<T>;
  async withLock<T>(
    key: LockKey,
    ...rest: [LockedBody<T>] | [LockOptions | undefined, LockedBody<T>]
  ): Promise<T> {
    const [options, body] = rest.length === 1 ? [undefined, rest[0]] : rest;
    if (typeof body !== 'function') {
      throw new LockConfigurationError(
        `withLock needs a function to run, got ${shown(body)}`,
        String(key),
      );
    }
    const lock = await this.requests.request(key, options);
    const result = await this.runUnder(lock, () => body(lock));
    if (lock.lost !== undefined) throw lock.lost;
    return result;
  }

  /** The innermost lock that this async context runs under, or the one for `key`. */
  current(key?: string): Lock | undefined {
    return currentLock(this.identity, key);
  }

  /** Who holds the key, and who waits for it. */
  async inspect(key: string): Promise<LockState> {
    checkKey(key);
    return this.sessionFor(key).view.of(key);
  }

  /**
   * The keys that are held now, each with who holds it and who waits. Read page by page while it is
   * iterated; one that changes hands meanwhile may come twice.
   *
   * @param pattern `*` for any characters, `?` for one; everything else stands for itself
   */
  async *list(pattern = '*'): AsyncGenerator<LockState, void, undefined> {
    checkKey(pattern);
    yield* this.sessionFor(pattern).view.list(pattern);
  }

  /**
   * Asks whoever holds the key to give it back: see `Lock.revocation` and `Lock.signal`. Breaks no
   * lock. Resolves to how many holders were asked; none of them need have heard it.
   */
  async revoke(key: string, options: RevokeOptions = {}): Promise<number> {
    checkKey(key);
    const revocation = readRevocation(options);
    return this.sessionFor(key).connection.revoke(key, revocation);
  }

  /**
   * Breaks the lock, whoever holds it, and hands it to the next in the queue. **Whoever held it still
   * runs**, and is told at once if it can be reached, else at its next renewal: what it writes until
   * then, only fencing tokens keep out. For when a holder is known to be dead or astray.
   * Resolves to how many holders there were.
   */
  async forceRelease(key: string): Promise<number> {
    checkKey(key);
    return this.sessionFor(key).connection.forceRelease(key);
  }

  /**
   * Stands for the leadership of `key`, which is a lock of that key: one process at a time has it,
   * and gives it back when the application shuts down. One leadership a key: asked again, it is
   * the same one.
   * @throws LockConfigurationError for bad options, and for another ttl than the key's leadership has
   */
  leader(key: string, options?: LeaderOptions): Leadership {
    checkKey(key);
    const settings = readLeaderOptions(options, this.defaults.ttl);
    checkTtl(settings.ttl, this.backend);
    this.sessionFor(key);
    return this.leaderships.of(key, settings);
  }

  /**
   * The same locks in the shape of `navigator.locks`, as the W3C's Web Locks API has it: for code that
   * is written for that, and for those who know it. Always the same one.
   *
   * @example
   * const text = await locks.manager().request('report', { mode: 'shared' }, () => read());
   */
  manager(): WebLockManager {
    return (this.webLocks ??= new WebLocks({
      take: (key, terms) => this.requests.webLock(key, terms),
      current: (key) => currentLock(this.identity, key),
      runUnder: (lock, body) => this.runUnder(lock, body),
      forceRelease: (key) => this.forceRelease(key),
      inspect: (key) => this.inspect(key),
      held: () => this.sessionFor('*').view.held('*'),
      waiting: () => this.sessionFor('*').view.waiting(),
    }));
  }

  /**
   * What this service holds and waits for at this moment, counted by template and mode; the backend
   * is not asked. Of one that is closed, or was not used yet, nothing.
   */
  stats(): LockStats {
    const session = this.session === 'over' ? undefined : this.session;
    return {
      backend: this.backend.name,
      instance: this.name,
      holds: countLocks(session?.leases.held.holdings ?? []),
      waits: countLocks([...(session?.leases.waiting ?? [])].map(({ wish }) => wish)),
      leaderships: countLeaderships(this.leaderships.standing),
      paused: session?.paused ?? [],
    };
  }

  /**
   * Lets the decorated methods of an object that Nest did not make lock with this service: in unit
   * tests, scripts, and request-scoped factories. Returns the object.
   */
  attach<T extends object>(instance: T): T {
    Object.defineProperty(instance, getLockServiceToken(this.name), {
      value: this,
      configurable: true,
    });
    return instance;
  }

  /** Connects early, so that the first lock finds the connection ready and the log warns at start. */
  onModuleInit(): void {
    this.open();
  }

  /** @internal Together with the other services of its application. */
  endIn(shutdown: Shutdown): this {
    shutdown.add(this.ending);
    this.shutdown = shutdown;
    return this;
  }

  /** Locks are granted on: the application still serves what it accepted. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.shutdown.prepare();
  }

  /** As {@link close}, together with the other LockServices of the application. */
  async onApplicationShutdown(): Promise<void> {
    await this.shutdown.close();
  }

  /**
   * Asks holders to finish, by their `signal`, and lets them for `shutdownGrace`, in which they may take
   * what locks they need, as far as they run under one by a decorator or {@link withLock}. Everybody
   * else is refused with a LockShutdownError, also who waits. Then releases what is still held, and
   * closes the connections that were opened here. `app.close()` does it at its end.
   */
  async close(): Promise<void> {
    await new Shutdown(this.ending).close();
  }

  /** @internal Why the backend grants nothing of this key now, as far as this process knows. */
  troubleWith(key: string): Error | undefined {
    return this.sessionFor(key).connection.troubleWith(key);
  }

  /** @internal The leaderships for which this process stands: to the store they are locks like others. */
  get leadershipKeys(): readonly string[] {
    return this.leaderships.keys;
  }

  /** @internal What is logged of it. */
  toJSON(): object {
    const { name, label, backend } = this;
    return { name, label: label || undefined, backend: backend.name };
  }

  /** @internal */
  [PRINTED](depth: number, options: InspectOptionsStylized): string {
    return printed('LockService', this.toJSON(), depth, options);
  }

  private runUnder<T>(lock: HeldLock, body: () => Promise<T> | T): Promise<T> {
    return this.reporter.hearsOfHolds
      ? this.reporter.hold(lock, () => runUnder(this.identity, lock, body))
      : runUnder(this.identity, lock, body);
  }

  private readonly toldOf = <Held extends HeldLock>(lock: Held): Held => {
    this.reporter.held(lock);
    return lock;
  };

  /** @throws LockShutdownError when this caller can ask for nothing any more */
  private sessionFor(key: string): LockSession {
    const session = this.open();
    if (session === 'over' || !session.leases.letsIn(lockHere())) throw new LockShutdownError(key);
    return session;
  }

  private open(): LockSession | 'over' {
    return (this.session ??= outsideOfContexts(
      () => new LockSession(this.backend, this.label, this.warn, this.reporter, this),
    ));
  }

  private endingAfter(grace: number): Ending {
    const session = () => (this.session === 'over' ? undefined : this.session);
    const last = () => {
      this.session ??= 'over';
      return session();
    };
    return { grace, session, last };
  }
}
