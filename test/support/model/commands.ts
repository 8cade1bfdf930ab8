import assert from 'node:assert/strict';
import type { AsyncCommand } from 'fast-check';
import type { BackendSupport } from '../../../lib/backends/lock-backend.js';
import { LONG } from '../../../lib/testing/patience.js';
import type { Asked, ModelWorld, Terms } from './model-world.js';
import type { Trial } from './trial.js';

/** A step of a program: done at the store and at the model, which must agree. */
export abstract class Step implements AsyncCommand<ModelWorld, Trial> {
  check(_model: Readonly<ModelWorld>): boolean {
    return true;
  }

  async run(model: ModelWorld, trial: Trial): Promise<void> {
    trial.steps.push(this);
    await this.act(model, trial);
    await trial.settle();
  }

  protected abstract act(model: ModelWorld, trial: Trial): Promise<void>;
}

export class Ask extends Step {
  constructor(
    private readonly by: number,
    private readonly key: number,
    private readonly terms: Terms,
    private readonly queue: boolean,
  ) {
    super();
  }

  protected async act(model: ModelWorld, trial: Trial): Promise<void> {
    await trial.exorcise(this.key);
    const process = model.processes[this.by]!;
    const [asked, verdict] = model.ask(process, this.key, this.terms, this.queue);
    const how = this.queue ? 'and queues if it must' : 'once';
    trial.says(`${process} asks for ${inWords(asked)} ${how}: ${verdict}`);
    const answer = await trial.ask(asked, this.queue, verdict);
    assert.equal(answer, verdict, `it is ${answer}`);
  }
}

/** Something that is done with one request, if there is one with which it can be done. */
export interface Deed {
  /** How often a step is this one. */
  readonly percent: number;
  readonly words: string;
  readonly needs?: keyof BackendSupport;
  readonly fits: (model: Readonly<ModelWorld>, asked: Asked) => boolean;
  readonly act: (model: ModelWorld, trial: Trial, asked: Asked) => Promise<void>;
}

export class Do extends Step {
  constructor(
    private readonly deed: Deed,
    private readonly pick: number,
  ) {
    super();
  }

  override check(model: Readonly<ModelWorld>): boolean {
    return this.#choices(model).length > 0;
  }

  protected async act(model: ModelWorld, trial: Trial): Promise<void> {
    const choices = this.#choices(model);
    const asked = choices[this.pick % choices.length]!;
    trial.says(`${asked.process} ${this.deed.words} #${asked.n}`);
    await this.deed.act(model, trial, asked);
  }

  #choices(model: Readonly<ModelWorld>): Asked[] {
    return model.living((asked) => this.deed.fits(model, asked));
  }
}

const holds: Deed['fits'] = (model, asked) => model.holds(asked);
const waits: Deed['fits'] = (model, asked) => model.waits(asked);
const ended: Deed['fits'] = (model, asked) => !holds(model, asked) && !waits(model, asked);

export const deeds: readonly Deed[] = [
  {
    percent: 12,
    words: 'releases',
    fits: holds,
    act: async (model, trial, asked) => {
      assert.ok(await trial.release(asked), 'it is not the owner');
      model.leave(asked);
    },
  },
  {
    percent: 2,
    words: 'releases and keeps taken',
    fits: holds,
    act: async (model, trial, asked) => {
      assert.ok(await trial.release(asked, LONG), 'it is not the owner');
      model.alter(asked, { kept: true });
    },
  },
  {
    percent: 3,
    words: 'releases once more, and renews,',
    fits: ended,
    act: async (_, trial, asked) => {
      assert.ok(!(await trial.release(asked)), 'it is the owner');
      assert.deepEqual(await trial.renew([asked]), [false]);
    },
  },
  {
    percent: 4,
    words: 'downgrades',
    needs: 'shared',
    fits: (model, asked) => asked.limit === 1 && holds(model, asked),
    act: async (model, trial, asked) => {
      assert.ok(await trial.downgrade(asked), 'it is not the owner');
      model.alter(asked, { mode: 'shared' });
    },
  },
  {
    percent: 1,
    words: 'would downgrade',
    needs: 'shared',
    fits: (model, asked) => asked.limit === 1 && ended(model, asked),
    act: async (_, trial, asked) => {
      assert.ok(!(await trial.downgrade(asked)), 'it is the owner');
    },
  },
  {
    percent: 4,
    words: 'asks again for what it holds,',
    // Who has downgraded it has its answer since long.
    fits: (model, asked) => holds(model, asked) && model.termsOf(asked).mode === asked.mode,
    act: async (_, trial, asked) => {
      const answer = await trial.askAgain(asked);
      assert.equal(answer, 'granted', `it is ${answer}`);
    },
  },
  {
    percent: 4,
    words: 'asks again for what it waits for,',
    fits: waits,
    act: async (_, trial, asked) => {
      const answer = await trial.askAgain(asked);
      assert.equal(answer, 'waiting', `it is ${answer}`);
    },
  },
  { percent: 6, words: 'gives up waiting,', fits: waits, act: cancel },
  { percent: 3, words: 'withdraws', fits: (...given) => !waits(...given), act: cancel },
  {
    percent: 4,
    words: 'renews all that its process had, that of',
    fits: (model, asked) => !waits(model, asked),
    act: async (model, trial, { process }) => {
      const had = model.living((asked) => asked.process === process && !waits(model, asked));
      assert.deepEqual(
        await trial.renew(had),
        had.map((asked) => holds(model, asked)),
      );
    },
  },
];

async function cancel(model: ModelWorld, trial: Trial, asked: Asked): Promise<void> {
  await trial.cancel(asked);
  model.leave(asked);
}

export class ForceRelease extends Step {
  constructor(private readonly key: number) {
    super();
  }

  protected async act(model: ModelWorld, trial: Trial): Promise<void> {
    await trial.exorcise(this.key);
    trial.says(`somebody ends all leases of key ${this.key}`);
    await trial.forceRelease(this.key);
    model.forceRelease(this.key);
  }
}

export class Look extends Step {
  constructor(private readonly key: number) {
    super();
  }

  protected async act(_model: ModelWorld, trial: Trial): Promise<void> {
    await trial.exorcise(this.key);
    trial.says(`somebody looks at key ${this.key}`);
    await trial.agrees(this.key);
  }
}

export function inWords({ n, key, mode, limit }: Asked): string {
  return `key ${key} as #${n}, ${limit > 1 ? `one of ${limit}` : mode},`;
}
