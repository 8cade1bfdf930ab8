import type { BackendSupport } from '../backends/lock-backend.js';
import type { World } from './world.js';

/** Tests of one subject: sentences that must be true, and how each is found out. */
export interface Chapter {
  readonly title: string;
  /**
   * Where a backend does not support it, its refusal is tested instead; without an optional method of
   * the contract nothing is.
   */
  readonly needs?: keyof BackendSupport | 'acquireAll';
  readonly tests: Readonly<Record<string, Test>>;
  /**
   * Those in which a lease that lives for less than a second must be renewed in time. A process that
   * stands still, on a machine that has too much to do, cannot: what fails then is tried again.
   */
  readonly hurried?: Readonly<Record<string, Test>>;
}

export type Test = (world: World) => Promise<void>;
