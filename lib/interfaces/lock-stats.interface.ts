import type { LockMode } from './lock.interface.js';

/** How many locks, or callers that wait, have this in common. */
export interface LockCount {
  /**
   * What was written, not what was locked: `order:{0.id}` of a decorator, `Class.method` for one with
   * a function, the option `template` of a call; undefined without.
   */
  readonly template: string | undefined;
  readonly mode: LockMode;
  readonly count: number;
}

/** Leaderships that have a template in common. */
export interface LeadershipCount {
  readonly template: string | undefined;
  /** For how many of them this process stands, those that it has included. */
  readonly standing: number;
  /** How many of them it has. */
  readonly leading: number;
}

/** A node of the store that lost its memory. */
export interface PausedNode {
  /** Its place among the nodes of the store, from 1. */
  readonly node: number;
  /** For so many milliseconds it grants nothing new. */
  readonly remaining: number;
  readonly why: string;
}

/** What a LockService of this process holds and waits for at this moment. The backend is not asked. */
export interface LockStats {
  /** The `name` of the backend. */
  readonly backend: string;
  /** The name of the LockModule, where it has one. */
  readonly instance: string | undefined;
  /** Locks that are held, each key of its own; without those of leaderships. */
  readonly holds: readonly LockCount[];
  /** Callers without an answer yet, likewise. */
  readonly waits: readonly LockCount[];
  readonly leaderships: readonly LeadershipCount[];
  /** Those that this process heard of. */
  readonly paused: readonly PausedNode[];
}
