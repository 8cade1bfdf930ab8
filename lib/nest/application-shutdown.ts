import type { ModuleRef } from '@nestjs/core';
import { containerOf, lockModules } from './lock-registration.js';
import { Shutdown } from '../lock/shutdown.js';

/** One for each application. */
const shutdowns = new WeakMap<object, Shutdown>();

export function shutdownOf(moduleRef: ModuleRef): Shutdown {
  const application = containerOf(moduleRef);
  const shutdown = shutdowns.get(application) ?? new Shutdown();
  shutdowns.set(application, shutdown);
  return shutdown;
}

/** For what is to outlive the locks of an application that closes: resolves at once when it has none. */
export async function locksAreOver(moduleRef: ModuleRef): Promise<void> {
  const application = containerOf(moduleRef);
  if (lockModules(application).length > 0) await shutdownOf(moduleRef).over;
}

/**
 * Nest calls the hooks of a shutdown by the distance of their modules, and those of the global ones
 * last, in an order that depends on that of the imports. Queue workers and databases are closed there
 * as well: what these still do needs locks, so the locks come after them all. At the start they come
 * before them all, likewise.
 */
export function closeLast(moduleRef: ModuleRef): void {
  for (const module of lockModules(containerOf(moduleRef))) module.distance = Infinity;
}
