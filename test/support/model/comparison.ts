import fc from 'fast-check';
import type { LockBackend } from 'nestjs-lock';
import { Standstills } from '../../../lib/testing/standstills.js';
import { World } from '../../../lib/testing/world.js';
import { Crew, type Pace } from './crew.js';
import { Disagreement } from './disagreement.js';
import { ModelWorld } from './model-world.js';
import { programs } from './programs.js';
import { Trial } from './trial.js';

/** A process that stood still for longer may count as dead where it waits, in milliseconds. */
const MOST_STILL = 1_000;

export interface Extent {
  readonly pace: Pace;
  /** How often a step takes its time: see {@link programs}. */
  readonly slow: number;
  /** At least so many in all. */
  readonly steps: number;
  /** How many programs run at the same time, on keys and processes of their own. */
  readonly lanes: number;
  /** Of the first program; those after it have the next one, and so on. */
  readonly seed: number;
  /** For how long a program that fails is made shorter, in milliseconds. */
  readonly shrinking: number;
}

/**
 * Runs random programs on the store and on the model. How many steps they had. What a program found
 * while this process stood still says nothing, and does not count.
 * @throws Disagreement at the first difference, with a program from which no step can be left out
 */
export async function compare(backend: LockBackend, extent: Extent): Promise<number> {
  const world = new World(backend);
  const { steps, lanes, pace, slow, shrinking } = extent;
  const random = programs(backend.supports, slow);
  const standstills = new Standstills(MOST_STILL);
  let { seed } = extent;
  let done = 0;
  let failure: Disagreement | undefined;

  const lane = async (): Promise<void> => {
    const crew = new Crew(world, pace, standstills);
    await crew.ready();
    const property = fc.asyncProperty(random, async (program) => {
      const count = await run(program, crew);
      // Not in one line: others count meanwhile.
      done += count;
    });
    while (done < steps && failure === undefined) {
      const own = seed++;
      const { errorInstance } = await fc.check(property, {
        seed: own,
        numRuns: 1,
        // Else the first program of each seed would be a small one.
        unbiased: true,
        plugins: [fc.interruptAfterTimeLimit(shrinking)],
      });
      if (errorInstance instanceof Disagreement) {
        const shortest = await shorten(errorInstance, crew, shrinking);
        failure ??= new Disagreement(shortest.trial, shortest.cause, own);
      }
    }
  };

  try {
    await Promise.all(Array.from({ length: lanes }, lane));
  } finally {
    standstills.end();
    await world.close();
  }
  if (failure !== undefined) throw failure;
  return done;
}

type Program = Parameters<typeof fc.asyncModelRun<ModelWorld, Trial, false, ModelWorld>>[1];

/** How many steps it had. */
async function run(program: Program, crew: Crew): Promise<number> {
  const start = performance.now();
  const model = new ModelWorld();
  const trial = new Trial(model, crew);
  try {
    await fc.asyncModelRun(() => ({ model, real: trial }), program);
    await trial.windUp();
  } catch (error) {
    if (crew.standstills.since(start)) return 0;
    throw new Disagreement(trial, error);
  }
  return trial.words.length;
}

/** Leaves out what can be left out one by one: fast-check never tries that with the last step. */
async function shorten(found: Disagreement, crew: Crew, ms: number): Promise<Disagreement> {
  const end = performance.now() + ms;
  let shortest = found;
  for (let index = 0; index < shortest.trial.steps.length && performance.now() < end;) {
    const shorter = await run(shortest.trial.steps.toSpliced(index, 1), crew).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (shorter instanceof Disagreement) [shortest, index] = [shorter, 0];
    else index++;
  }
  return shortest;
}
