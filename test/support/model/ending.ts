import assert from 'node:assert/strict';
import { ask } from './lock-model.js';
import { inWords, Step } from './commands.js';
import type { Asked, ModelWorld, Terms } from './model-world.js';
import type { Trial } from './trial.js';

/** A process ends without a word. */
export class Crash extends Step {
  constructor(private readonly who: number) {
    super();
  }

  protected async act(model: ModelWorld, trial: Trial): Promise<void> {
    const process = model.processes[this.who]!;
    trial.says(`${process} crashes`);
    const waited = model.living((asked) => asked.process === process && model.waits(asked));
    await trial.crash(process, model.crash(process));
    for (const { key } of waited) trial.haunt(key);
  }
}

/** Between what two clocks say, in milliseconds. */
const CLOCKS = 2;

/** Who waits behind a lease that is about to end. */
export interface Follower {
  readonly by: number;
  readonly terms: Terms;
}

/** Takes a lock that is free for a short while, and lets its time run out. */
export class Expire extends Step {
  constructor(
    private readonly by: number,
    private readonly key: number,
    private readonly terms: Terms,
    private readonly followers: readonly Follower[],
  ) {
    super();
  }

  override check({ keys }: Readonly<ModelWorld>): boolean {
    const [verdict] = ask(keys[this.key]!, { n: -1, ...this.terms }, false);
    return verdict === 'granted';
  }

  protected async act(model: ModelWorld, trial: Trial): Promise<void> {
    const { short, late } = trial.crew.pace;
    await trial.exorcise(this.key);
    const dying = this.#ask(model, this.by, this.terms);
    trial.says(`${dying.process} takes ${inWords(dying)} and lets its time run out`);
    const start = performance.now();
    const over = () => performance.now() - start >= short - CLOCKS;
    const taken = await trial.ask(dying, false, 'granted', short);
    assert.equal(taken, 'granted', `it is ${taken}`);
    trial.tokens.check();
    for (const { by, terms } of this.followers) {
      const asked = this.#ask(model, by, terms);
      trial.says(`${asked.process} queues for ${inWords(asked)} meanwhile`);
      const expected = model.holds(asked) ? 'granted' : 'waiting';
      const answer = await trial.ask(asked, true, expected);
      // On a busy machine its time is over already, now and then.
      if (answer !== expected) assert.ok(answer === 'granted' && over(), `it is ${answer}`);
    }
    model.leave(dying);
    await trial.settle(short + late);
    await trial.comesToAgree(this.key, short + late);
    assert.ok(over(), `#${dying.n} ended before its time`);
  }

  #ask(model: ModelWorld, by: number, terms: Terms): Asked {
    const [asked] = model.ask(model.processes[by]!, this.key, terms, true);
    return asked;
  }
}
