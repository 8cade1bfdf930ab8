// The order of a run: first a round in which commands are counted, then the rounds that are
// measured, each over the whole field and each beginning with another entry. So a disturbance of the
// machine meets all of them alike, and ratios hold where absolute figures do not.
import { Stage } from './stage.mjs';
import { summarise } from './stats.mjs';

/**
 * @typedef {object} Entry
 * @property {string} name
 * @property {object} contestant
 * @property {object} workload
 * @property {string} [reference] the name of the entry that it is compared with
 *
 * @param {object} settings
 * @param {Entry[]} settings.field
 * @param {number} settings.rounds
 * @param {boolean} settings.counting whether to count commands first
 * @param {(text: string) => void} settings.progress
 * @returns {Promise<object[]>} for each entry its rounds, their summary, its ratios, its errors
 */
export async function runRounds({ servers, field, rounds, scale, counting, progress }) {
  const outcomes = new Map(field.map(({ name }) => [name, { rounds: [], errors: [] }]));

  const stages = new Map(
    field.map(({ name, workload, contestant }) => [
      name,
      new Stage({ servers, workload, contestant, scale }),
    ]),
  );
  const measure = async ({ name, workload }, counting) => {
    try {
      return await stages.get(name).round(workload.measure, counting);
    } catch (error) {
      outcomes.get(name).errors.push(error.message);
      return undefined;
    }
  };

  const commands = new Map();
  for (const entry of field) {
    if (!counting || !entry.workload.columns.some(({ figure }) => figure === 'commands')) continue;
    progress(`${entry.workload.id}: counting commands: ${entry.name}`);
    commands.set(entry.name, (await measure(entry, true))?.commands);
  }
  for (let round = 0; round < rounds; round += 1) {
    for (let i = 0; i < field.length; i += 1) {
      const entry = field[(i + round) % field.length];
      progress(`${entry.workload.id}: round ${round + 1} of ${rounds}: ${entry.name}`);
      const figures = await measure(entry, false);
      if (figures) outcomes.get(entry.name).rounds[round] = figures;
    }
  }
  await Promise.all([...stages.values()].map((stage) => stage.dismiss()));
  await servers.clear();

  return field.map(({ name, contestant, reference }) => {
    const outcome = outcomes.get(name);
    const summary = summarise(outcome.rounds.filter(Boolean));
    const median = commands.get(name);
    if (median !== undefined) summary.commands = { median, min: median, max: median, rounds: 1 };
    const ratios = ratiosOf(outcome.rounds, outcomes.get(reference)?.rounds ?? []);
    const { store, nodes, ours = false } = contestant;
    return { name, store, nodes, ours, ...outcome, summary, ratios };
  });
}

/** Each round against the same round of the other. */
function ratiosOf(rounds, references) {
  const ratios = rounds.map((figures, round) => {
    const reference = references[round];
    if (!figures || !reference) return {};
    const both = Object.keys(figures).filter((figure) => figures[figure] && reference[figure]);
    return Object.fromEntries(both.map((figure) => [figure, figures[figure] / reference[figure]]));
  });
  return summarise(ratios.filter(Boolean));
}
