import { randomUUID } from 'node:crypto';
import { channel, tracingChannel, type Channel } from 'node:diagnostics_channel';
import type { Revocation } from '../backends/lock-backend.js';
import { Instant, wallTimeIn } from '../time/clock.js';
import { type LockLostError, LockShutdownError, LockTimeoutError } from '../errors/index.js';
import type { LockMode, LockState, ReleaseOutcome } from '../interfaces/index.js';
import { outsideOfContexts } from '../time/timers.js';
import type { Caller } from './caller.js';
import { CHANNELS } from './channels.js';
import { type Followed, FOLLOWER } from './follower.js';
import type {
  AcquireMessage,
  AcquireOutcome,
  BackendMessage,
  BackendOperation,
  Handoff,
  HoldMessage,
  LeadershipMessage,
  LostMessage,
  MessageSource,
  PausedMessage,
  RenewedMessage,
  RevocationMessage,
  WarningMessage,
} from './messages.js';
import { trace } from './trace.js';

// Node forgets a channel that nobody has. Kept here, so that a look costs no search by name.
const acquires = tracingChannel<unknown, AcquireMessage>(CHANNELS.acquire);
const holds = tracingChannel<unknown, HoldMessage>(CHANNELS.hold);
const calls = tracingChannel<unknown, BackendMessage>(CHANNELS.backend);
const lost = channel(CHANNELS.lost);
const renewed = channel(CHANNELS.renewed);
const revocation = channel(CHANNELS.revocation);
const leadership = channel(CHANNELS.leadership);
const paused = channel(CHANNELS.paused);
const warning = channel(CHANNELS.warning);

/** What is asked for, as far as it is told. */
export interface ToldWish {
  readonly template?: string;
  readonly caller?: Caller;
  readonly mode: LockMode;
  readonly limit: number;
  readonly ttl: number;
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
  readonly whenWaiting?: (key: string) => void;
  readonly traceparent?: string;
}

/** One holder's time with a lease, likewise. */
export interface ToldHolding {
  readonly key: string;
  readonly token: number;
  readonly mode: LockMode;
  readonly template: string | undefined;
  readonly caller: Caller | undefined;
  readonly handoff: Handoff;
  readonly isShared: boolean;
  readonly lease: { readonly limit: number; readonly since: Instant };
}

/** What a caller has, likewise: of several keys as many parts. */
export interface ToldLock {
  readonly keys: readonly string[];
  readonly mode: LockMode;
  readonly lost: LockLostError | undefined;
  readonly parts: readonly { readonly holding: ToldHolding; onLost(tell: () => void): void }[];
  /** Calls back when it was given back. */
  onReleased(tell: (outcome: ReleaseOutcome) => void): void;
}

/**
 * Tells subscribers of {@link CHANNELS} what happens to the locks of one service. While nobody
 * listens to a channel it costs one look.
 */
export class Reporter {
  private readonly source: MessageSource;

  /** @param look asks the store who holds a key */
  constructor(
    backend: string,
    instance: string | undefined,
    private readonly look: (key: string) => Promise<LockState>,
  ) {
    this.source = { service: randomUUID(), backend, instance };
  }

  /** Whether anybody listens: to be asked before anything is made for it. */
  get hearsOfAcquires(): boolean {
    return acquires.hasSubscribers;
  }

  get hearsOfHolds(): boolean {
    return holds.hasSubscribers;
  }

  get hearsOfCalls(): boolean {
    return calls.hasSubscribers;
  }

  get hearsOfRenewals(): boolean {
    return renewed.hasSubscribers;
  }

  /**
   * @param ask is given the wish with what is to be called when it shows that others hold the lock
   * @param toleratesBusy whether it is no error that it is busy
   */
  acquire<Wish extends ToldWish, Lock extends ToldLock>(
    keys: readonly string[],
    wish: Wish,
    toleratesBusy: boolean,
    ask: (wish: Wish & Pick<ToldWish, 'whenWaiting' | 'traceparent'>) => Promise<Lock>,
  ): Promise<Lock> {
    const { template, caller, mode, limit, ttl, wait } = wish;
    const terms = { template, where: caller?.where, mode, limit, ttl, wait };
    const message: AcquireMessage & Followed = {
      ...this.source,
      keys,
      ...terms,
      waited: false,
    };
    const since = Instant.now();
    const whenWaiting = (key: string) => {
      message.waited = true;
      message[FOLLOWER]?.waits(key, () => this.look(key));
      wish.whenWaiting?.(key);
    };
    const run = () => {
      const { [FOLLOWER]: follower } = message;
      if (follower === undefined) return ask({ ...wish, whenWaiting });
      return ask({ ...wish, whenWaiting, traceparent: follower.traceparent });
    };
    return trace(acquires, message, run, {
      answered: (lock) => {
        message.duration = since.elapsed;
        message.outcome = 'granted';
        message.fencingTokens = lock.parts.map(({ holding }) => holding.token);
        message.handoff = handoffOf(lock);
        return false;
      },
      refused: (error) => {
        message.duration = since.elapsed;
        message.outcome = outcomeOf(error, wish.signal);
        if (message.outcome === 'busy' && toleratesBusy) return false;
        message.error = error;
        return true;
      },
    });
  }

  /** Runs what gives the lock back when it is over. */
  hold<T>(lock: ToldLock, run: () => Promise<T>): Promise<T> {
    return this.#isReentry(lock) ? run() : this.#hold(lock, run);
  }

  /** It is held until it is given back or lost. */
  held(lock: ToldLock): void {
    if (this.#isReentry(lock)) return;
    void this.#hold(
      lock,
      () =>
        new Promise<void>((resolve) => {
          lock.onReleased(() => {
            resolve();
          });
          for (const part of lock.parts) part.onLost(resolve);
        }),
    );
  }

  call<Answer>(operation: BackendOperation, requests: number, ask: () => Answer): Answer {
    const message: BackendMessage = { ...this.source, operation, requests };
    const since = Instant.now();
    return trace(calls, message, ask, {
      outlivesCaller: true,
      answered: () => {
        message.duration = since.elapsed;
        return false;
      },
      refused: (error) => {
        message.duration = since.elapsed;
        message.error = error;
        return true;
      },
    });
  }

  lost(holding: ToldHolding, error: LockLostError): void {
    if (!lost.hasSubscribers) return;
    const { mode, lease } = holding;
    const { reason } = error;
    const heldFor = lease.since.elapsed;
    this.#tell(lost, { ...this.#of(holding), mode, reason, heldFor, error } satisfies LostMessage);
  }

  renewed(message: Omit<RenewedMessage, keyof MessageSource>): void {
    this.#tell(renewed, { ...this.source, ...message } satisfies RenewedMessage);
  }

  revoked(holding: ToldHolding, { reason, grace }: Revocation): void {
    if (!revocation.hasSubscribers) return;
    this.#tell(revocation, { ...this.#of(holding), reason, grace } satisfies RevocationMessage);
  }

  leadership(holding: ToldHolding, state: LeadershipMessage['state']): void {
    if (!leadership.hasSubscribers) return;
    this.#tell(leadership, { ...this.#of(holding), state } satisfies LeadershipMessage);
  }

  /** @param ms from now on */
  paused(node: number, ms: number, why: string): void {
    if (!paused.hasSubscribers) return;
    const until = new Date(wallTimeIn(ms));
    this.#tell(paused, { ...this.source, node, until, why } satisfies PausedMessage);
  }

  warned(message: string): void {
    if (!warning.hasSubscribers) return;
    this.#tell(warning, { ...this.source, message } satisfies WarningMessage);
  }

  /** It may be found out in the context of anybody, whose affair it is not. */
  #tell(to: Channel, message: object): void {
    outsideOfContexts(() => to.publish(message));
  }

  #of({ key, token, template }: ToldHolding) {
    return { ...this.source, key, template, fencingToken: token };
  }

  /** Who enters again holds nothing more than before. */
  #isReentry({ parts }: ToldLock): boolean {
    return parts.every(({ holding }) => holding.isShared);
  }

  #hold<T>(lock: ToldLock, run: () => Promise<T>): Promise<T> {
    const { keys, mode, parts } = lock;
    const [first] = parts;
    const message: HoldMessage = {
      ...this.source,
      keys,
      template: first?.holding.template,
      fencingTokens: parts.map(({ holding }) => holding.token),
      where: first?.holding.caller?.where,
      mode,
      limit: first?.holding.lease.limit ?? 1,
    };
    const since = Instant.now();
    let heldFor: number | undefined;
    for (const part of parts) {
      part.onLost(() => {
        heldFor ??= since.elapsed;
      });
    }
    lock.onReleased((outcome) => {
      message.outcome = outcome;
    });
    const over = () => {
      message.heldFor = heldFor ?? since.elapsed;
      const error = lock.lost;
      if (error === undefined) return false;
      message.outcome = error.reason;
      message.error = error;
      return true;
    };
    return trace(holds, message, run, { answered: over, refused: over });
  }
}

function handoffOf({ parts }: ToldLock): Handoff {
  let greatest: Handoff = 'none';
  for (const { holding } of parts) {
    // Who enters again was handed nothing.
    if (holding.isShared || holding.handoff === 'none' || greatest === 'remote') continue;
    greatest = holding.handoff;
  }
  return greatest;
}

function outcomeOf(error: unknown, signal: AbortSignal | undefined): AcquireOutcome {
  if (error instanceof LockTimeoutError) return 'busy';
  if (error instanceof LockShutdownError) return 'shutdown';
  return signal?.aborted === true && error === signal.reason ? 'aborted' : 'failed';
}
