import type { RevokeOptions } from '../interfaces/index.js';
import type { LockService } from '../lock.service.js';
import type { DashboardAction } from './dashboard-options.js';

/** What the page can do to a lock. */
export type Operation = Exclude<DashboardAction, 'view'>;

export const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ['revoke', 'revoke'],
  ['force-release', 'forceRelease'],
]);

/** What the page says to it. */
export interface Order {
  readonly key: string;
  readonly options: RevokeOptions;
}

/** Undefined for what is no order; what is in it is for the LockService to check. */
export function readOrder(body: unknown): Order | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { key, ...options } = body as Record<string, unknown>;
  return typeof key === 'string' ? { key, options } : undefined;
}

/** Resolves to how many holders there were. */
export function carryOut(
  operation: Operation,
  { key, options }: Order,
  locks: LockService,
): Promise<number> {
  return operation === 'revoke' ? locks.revoke(key, options) : locks.forceRelease(key);
}
