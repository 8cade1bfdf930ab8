import assert from 'node:assert/strict';
import { Step } from './commands.js';
import { type ModelWorld, SERVICE, type Terms } from './model-world.js';
import type { Trial } from './trial.js';

/** A LockService tries to take several keys at once, all or none. */
export class AskTogether extends Step {
  constructor(
    private readonly keys: readonly number[],
    private readonly terms: Terms,
  ) {
    super();
  }

  protected async act(model: ModelWorld, trial: Trial): Promise<void> {
    for (const key of this.keys) await trial.exorcise(key);
    const [all, verdicts] = model.askTogether(this.keys, this.terms);
    const { mode, limit } = this.terms;
    const how = limit > 1 ? `one of ${limit}` : mode;
    const names = all.map(({ n }) => `#${n}`).join(', ');
    trial.says(
      `${SERVICE} asks for keys ${this.keys.join(', ')} as ${names}, ${how}, once: ${verdicts.join(' or ')}`,
    );
    const answer = await trial.askTogether(all, this.terms);
    assert.ok(verdicts.includes(answer), `they are ${answer}`);
  }
}

export class LetGo extends Step {
  constructor(private readonly pick: number) {
    super();
  }

  override check({ bundles }: Readonly<ModelWorld>): boolean {
    return bundles.length > 0;
  }

  protected async act(model: ModelWorld, trial: Trial): Promise<void> {
    const [all] = model.bundles.splice(this.pick % model.bundles.length, 1);
    const held = all!.every((asked) => model.holds(asked));
    trial.says(`${SERVICE} releases ${all!.map(({ n }) => `#${n}`).join(', ')}`);
    for (const asked of all!) model.leave(asked);
    assert.equal(await trial.letGo(all!), held, `${held ? 'not ' : ''}all were its own`);
  }
}
