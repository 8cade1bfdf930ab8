import type { Trial } from './trial.js';

/** A program on which store and model disagree. */
export class Disagreement extends Error {
  override readonly name = 'Disagreement';

  constructor(
    readonly trial: Trial,
    cause: unknown,
    seed?: number,
  ) {
    const program = trial.words.map((words, index) => `\n  ${index + 1}. ${words}`).join('');
    const from = seed === undefined ? '' : ` of MODEL_SEED=${seed}`;
    super(
      `the program${from}${program}\n${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}
