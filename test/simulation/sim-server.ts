import type { Timeline } from './clock/timeline.js';

/** What can stand still: what arrives meanwhile waits until it goes on. */
export class SimServer {
  #frozenUntil = 0;

  constructor(
    readonly name: string,
    protected readonly timeline: Timeline,
  ) {}

  get isFrozen(): boolean {
    return this.timeline.now < this.#frozenUntil;
  }

  get frozenUntil(): number {
    return this.#frozenUntil;
  }

  freeze(ms: number): void {
    this.#frozenUntil = this.timeline.now + ms;
  }
}
