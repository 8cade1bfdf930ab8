import {
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import { defer, lastValueFrom, type Observable } from 'rxjs';
import { getLockPlan, type LockPlan } from './nest/lock-plan.js';
import { LockNotWiredError, LockTimeoutError } from './errors/index.js';
import { shown } from './text/shown.js';
import type { LockKey, LockOptions } from './interfaces/index.js';
import { holdWhileIterating, holdWhileSubscribed, type Hold } from './lock/hold-streams.js';
import { getLockServiceToken } from './lock.constants.js';
import type { LockedBody, LockService } from './lock.service.js';
import { MethodContext } from './nest/method-context.js';
import { canBeAsked } from './nest/mocks.js';
import { askedBy, CALLER } from './telemetry/caller.js';

/**
 * The advice around a decorated method: takes the lock, runs the method, gives it back.
 *
 * The decorators call it on every instance that Nest makes. Given to `@UseInterceptors` or
 * `APP_INTERCEPTOR` as well it passes everything on, as a decorated handler locks by itself, after
 * guards and pipes.
 */
@Injectable()
export class LockInterceptor implements NestInterceptor {
  constructor(@Inject(getLockServiceToken()) private readonly locks: LockService) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const plan = getLockPlan(context.getHandler());
    if (plan === undefined || !MethodContext.is(context)) return next.handle();
    if (plan.kind === 'stream')
      return holdWhileSubscribed(this.holder(plan, context), () => next.handle());
    return defer(() => this.run(context, () => lastValueFrom(next.handle())));
  }

  /** The same for a method that answers with a promise, as nearly all do, without an Observable. */
  run(context: MethodContext, body: () => Promise<unknown>): Promise<unknown> {
    const plan = getLockPlan(context.getHandler()) as LockPlan;
    const key = plan.keyOf(context.instance, context.getArgs());
    if (plan.kind === 'leader') {
      return this.service(plan, 'leader')
        .leader(key as string, plan.options)
        .run(body);
    }
    return plan.onBusy === 'throw'
      ? this.withLock(key, plan, plan.options, body)
      : this.runUnlessBusy(key, plan, context, body);
  }

  /** The same for a method that answers with an async iterable, which is opened under the lock. */
  iterate(context: MethodContext, open: () => AsyncIterable<unknown>): AsyncGenerator {
    const plan = getLockPlan(context.getHandler()) as LockPlan;
    return holdWhileIterating(this.holder(plan, context), open);
  }

  private async runUnlessBusy(
    key: LockKey,
    plan: LockPlan,
    context: MethodContext,
    body: () => Promise<unknown>,
  ): Promise<unknown> {
    let entered = false as boolean;
    try {
      return await this.withLock(key, plan, plan.options, () => {
        entered = true;
        return body();
      });
    } catch (error) {
      // A busy lock inside of the body is the body's own affair.
      if (entered || !(error instanceof LockTimeoutError)) throw error;
      if (typeof plan.onBusy !== 'function') return undefined;
      return await plan.onBusy.call(context.instance, error, ...context.getArgs());
    }
  }

  private holder(plan: LockPlan, context: MethodContext): Hold {
    return async (signal, body) => {
      const key = plan.keyOf(context.instance, context.getArgs());
      const options = askedBy(plan.options[CALLER], { ...plan.options, signal });
      await this.withLock(key, plan, options, body);
    };
  }

  /** @throws LockNotWiredError when the answer is no promise, which only a mock's is not */
  private withLock(
    key: LockKey,
    plan: LockPlan,
    options: LockOptions,
    body: LockedBody<unknown>,
  ): Promise<unknown> {
    const running: unknown = this.service(plan, 'withLock').withLock(key, options, body);
    const { then } = (running ?? {}) as { then?: unknown };
    if (typeof then === 'function') return running as Promise<unknown>;
    throw new LockNotWiredError(
      plan.where,
      `a LockService whose withLock() answered ${shown(running)}`,
    );
  }

  /** @throws LockNotWiredError when a test has put something else in its place */
  private service({ where }: LockPlan, method: 'leader' | 'withLock'): LockService {
    const { locks } = this;
    if (canBeAsked<LockService>(locks, method)) return locks;
    throw new LockNotWiredError(where, `${shown(locks)} as its LockService`);
  }
}
