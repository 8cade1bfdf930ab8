import { Inject, Injectable } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { within } from '../time/clock.js';
import { readDuration } from '../options/duration.js';
import { messageOf } from '../text/shown.js';
import { findLockService } from '../nest/find-lock-service.js';
import type { Duration } from '../interfaces/index.js';
import type { LockService } from '../lock.service.js';

export interface LockPingCheckSettings {
  /** The named LockModule instance whose backend is asked. */
  name?: string;

  /**
   * How long the backend may take to answer.
   * @default 1000
   */
  timeout?: Duration;

  /**
   * Which key is looked at, whether it is held or not: on a Redis Cluster it says which shard is asked.
   * @default 'health'
   */
  lockKey?: string;
}

/** Tells {@link within} from an answer. */
const ANSWERED = Symbol('answered');

/**
 * Whether the backend of the locks answers, for `@HealthCheck`. Provide it in a module that imports
 * TerminusModule.
 *
 * @example
 * this.health.check([() => this.locks.pingCheck('locks', { timeout: 300 })])
 */
@Injectable()
export class LockHealthIndicator {
  constructor(
    @Inject(HealthIndicatorService) private readonly indicators: HealthIndicatorService,
    @Inject(ModuleRef) private readonly moduleRef: ModuleRef,
  ) {}

  /**
   * Looks at one key and takes no lock. The result says how long the answer took (`responseTime`, in
   * milliseconds).
   *
   * - `up`: it answers.
   * - `degraded`: it answers and grants nothing new for now, as with `failoverGrace` after Redis lost its
   *   memory; `paused` says why, and whoever holds a lock keeps it. Terminus 11 has no such status: `up`.
   * - `down`: it does not answer in time; `message` says why.
   *
   * @throws LockConfigurationError for bad settings, and where no LockModule has that name
   */
  async pingCheck<const Key extends string>(
    key: Key,
    settings: LockPingCheckSettings = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const { name, lockKey = 'health' } = settings;
    const timeout = readDuration('timeout', settings.timeout ?? 1_000);
    const locks = findLockService(this.moduleRef, name);
    const session = this.indicators.check(key);
    const start = performance.now();
    const finding = await lookAt(locks, lockKey, timeout);
    const responseTime = Math.round(performance.now() - start);
    if ('message' in finding) return session.down({ ...finding, responseTime });
    const result = { responseTime, ...finding };
    return finding.paused !== false && knowsDegraded(session)
      ? session.degraded(result)
      : session.up(result);
  }
}

/** Why there was no answer, or why nothing new is granted. */
async function lookAt(
  locks: LockService,
  lockKey: string,
  timeout: number,
): Promise<{ message: string } | { paused: string | false }> {
  try {
    const look = locks.inspect(lockKey).then(() => ANSWERED);
    const answer = await within(timeout, look);
    const trouble = locks.troubleWith(lockKey);
    const why = trouble && messageOf(trouble);
    if (answer === ANSWERED) return { paused: why ?? false };
    return { message: `no answer within ${timeout} ms${why === undefined ? '' : `: ${why}`}` };
  } catch (error) {
    return { message: messageOf(error) };
  }
}

type Session = ReturnType<HealthIndicatorService['check']>;

/** From Terminus 12 on. */
function knowsDegraded<S extends object>(session: S): session is S & Pick<Session, 'degraded'> {
  return 'degraded' in session;
}
