import type { World } from './world.js';

/** Tests of one subject: sentences that must be true, and how each is found out. */
export interface Chapter {
  readonly title: string;
  readonly tests: Readonly<Record<string, (world: World) => Promise<void>>>;
}
