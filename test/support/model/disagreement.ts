import type { Trial } from './trial.js';

/** A program on which store and model disagree. */
export class Disagreement extends Error {
  override readonly name = 'Disagreement';

  constructor(
    readonly trial: Trial,
    cause: unknown,
    seed?: number,
  ) {
    const difference = cause instanceof Error ? cause.message : String(cause);
    const from = seed === undefined ? '' : ` of MODEL_SEED=${seed}`;
    const program = trial.words.map((words, index) => `\n  ${index + 1}. ${words}`).join('');
    // What differed comes first: a long message is cut at its end.
    super(`${difference}\nafter the program${from}${program}`, { cause });
  }
}
