import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleInit,
} from '@nestjs/common';
import { DiscoveryService, ModuleRef } from '@nestjs/core';
import type { LockBackend } from '../backends/lock-backend.js';
import { LockError } from '../errors/index.js';
import { getLockingMethod, getLockPlan, type LockPlan } from './lock-plan.js';
import { wire } from '../decorators/wiring.js';
import { getLockInterceptorToken } from '../lock.constants.js';
import { checkFits, readOptions } from '../options/lock-options.js';
import type { LockInterceptor } from '../lock.interceptor.js';
import type { LockService } from '../lock.service.js';
import { transactionInterceptorOf } from './transaction-interceptor.js';
import { transactionOf, usesTransactionHost } from './transaction-order.js';

interface LockedMethod {
  readonly method: object;
  /** Whether a decorator above ours has put something around it. */
  readonly isWrapped: boolean;
  readonly plan: LockPlan;
  /** The class that overrides it without a decorator of its own. */
  readonly overriddenIn: string | undefined;
}

/**
 * Looks through the application once at its start: wires the decorated instances that factories
 * and values brought in, warns of methods that lost their lock by being overridden and of transactions
 * that outlive it, and stands for the leaderships that methods need.
 */
@Injectable()
export class LockExplorer implements OnModuleInit, OnApplicationBootstrap {
  private readonly logger = new Logger('LockModule');
  private readonly leaderOnly = new Set<LockPlan>();

  constructor(
    private readonly discovery: DiscoveryService,
    private readonly locks: LockService,
    private readonly backend: LockBackend,
    private readonly name: string | undefined,
  ) {}

  async onModuleInit(): Promise<void> {
    const overridden = new Map<string, LockedMethod>();
    const committing = new Map<LockPlan, string>();
    const transactional = new Map<LockPlan, string>();
    const providers = this.discovery.getProviders();
    const hasTransactionHost = usesTransactionHost(providers);
    for (const wrapper of [...providers, ...this.discovery.getControllers()]) {
      const { metatype, isNotMetatype } = wrapper;
      const instance: unknown = wrapper.instance;
      // A request-scoped class has only its prototype here; Nest itself injects what it makes of it.
      const prototype: unknown = isObject(instance)
        ? Object.getPrototypeOf(instance)
        : metatype?.prototype;
      const methods = lockedMethods(prototype).filter(({ plan }) => plan.name === this.name);
      if (methods.length > 0 && isNotMetatype && isObject(instance)) {
        const interceptor = await this.interceptorFor(wrapper.host);
        if (interceptor !== undefined) wire(instance, this.name, interceptor);
      }
      for (const method of methods) {
        this.check(method.plan);
        const transaction = transactionInterceptorOf(method.method, metatype);
        if (method.plan.kind === 'leader') this.leaderOnly.add(method.plan);
        else if (transaction !== undefined) committing.set(method.plan, transaction);
        if (method.overriddenIn)
          overridden.set(`${method.overriddenIn} ${method.plan.where}`, method);
        const made = method.isWrapped && transactionOf(method.method, hasTransactionHost);
        if (made) transactional.set(method.plan, made);
      }
    }
    for (const { plan, overriddenIn } of overridden.values()) {
      this.logger.warn(
        `${overriddenIn ?? ''} overrides ${plan.where} without a decorator: calls of it are not locked. ` +
          'Decorate the override too, unless it calls the original.',
      );
    }
    for (const [{ where }, interceptor] of committing) {
      this.logger.warn(
        `${interceptor} runs around ${where}, whose lock is given back before it commits: ` +
          'begin the transaction under the lock instead.',
      );
    }
    for (const [{ where }, made] of transactional) {
      this.logger.warn(
        `@Transactional() of ${made} runs around ${where}, whose lock is given back before it commits: ` +
          'put @Locked above it.',
      );
    }
  }

  /** @throws LockConfigurationError when two of them do not agree */
  onApplicationBootstrap(): void {
    for (const plan of this.leaderOnly) {
      this.locks.leader(plan.keyOf(this, []) as string, plan.options);
    }
  }

  /** @throws LockConfigurationError for what the backend cannot do, that names the method */
  private check({ kind, options, where }: LockPlan): void {
    if (kind === 'leader') return;
    try {
      checkFits(readOptions(options), this.backend);
    } catch (error) {
      if (error instanceof LockError) error.message = `${where}: ${error.message}`;
      throw error;
    }
  }

  /** What Nest itself would inject into a class of that module; the LockModule need not be global. */
  private async interceptorFor(host: Host): Promise<LockInterceptor | undefined> {
    class Probe {
      interceptor: LockInterceptor | undefined;
    }
    Inject(getLockInterceptorToken(this.name))(Probe.prototype, 'interceptor');
    const moduleRef = host?.providers.get(ModuleRef)?.instance as ModuleRef | undefined;
    try {
      return (await moduleRef?.create(Probe))?.interceptor;
    } catch {
      // It sees no LockModule: its methods throw that they are not wired.
      return undefined;
    }
  }
}

type Host = ReturnType<DiscoveryService['getProviders']>[number]['host'];

/** The decorated methods of a class and its ancestors, the most derived first. */
function lockedMethods(prototype: unknown): LockedMethod[] {
  const found: LockedMethod[] = [];
  const nearest = new Map<PropertyKey, { locked: boolean; in: string }>();
  for (let level = prototype; isObject(level); level = Object.getPrototypeOf(level)) {
    for (const property of Reflect.ownKeys(level)) {
      const method: unknown = Object.getOwnPropertyDescriptor(level, property)?.value;
      if (typeof method !== 'function') continue;
      const locking = getLockingMethod(level, property);
      const plan = getLockPlan(method) ?? getLockPlan(locking);
      const override = nearest.get(property);
      if (plan !== undefined) {
        const overriddenIn = override?.locked === false ? override.in : undefined;
        const isWrapped = locking !== undefined && locking !== method;
        found.push({ method, isWrapped, plan, overriddenIn });
      }
      if (override === undefined) {
        nearest.set(property, { locked: plan !== undefined, in: nameOf(level) });
      }
    }
  }
  return found;
}

/** A prototype need not have a constructor. */
function nameOf(prototype: { constructor?: { name: string } }): string {
  return prototype.constructor?.name ?? 'An object';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
