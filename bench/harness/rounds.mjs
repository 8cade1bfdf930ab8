// The order of a run: for each workload, first a round in which commands are counted, then the
// rounds that are measured, each over all contestants and each beginning with another one. So a
// disturbance of the machine meets all of them alike, and ratios hold where absolute figures do not.
import { raw } from '../contestants/index.mjs';
import { Stage } from './stage.mjs';
import { summarise } from './stats.mjs';

// How many commands an operation takes does not need the time that how fast they are does.
const countingShare = 0.3;

/**
 * @param {(text: string) => void} progress
 * @returns {Promise<object>} per contestant its rounds, their summary, and its errors
 */
export async function runWorkload(settings) {
  const { servers, workload, contestants, rounds, scale, counting, progress } = settings;
  const field = contestants.filter((contestant) => takesPart(workload, contestant));
  const results = new Map(field.map(({ id }) => [id, { rounds: [], errors: [] }]));

  const measure = async (contestant, counting) => {
    const stage = new Stage({
      servers,
      workload,
      contestant,
      scale: counting ? scale * countingShare : scale,
      counting,
    });
    try {
      return await workload.measure(stage);
    } catch (error) {
      results.get(contestant.id).errors.push(error.message);
      return undefined;
    } finally {
      await stage.end();
    }
  };

  const commands = new Map();
  if (counting && workload.columns.some(({ figure }) => figure === 'commands')) {
    for (const contestant of field) {
      progress(`${workload.id}: counting commands: ${contestant.id}`);
      commands.set(contestant.id, (await measure(contestant, true))?.commands);
    }
  }
  const count = workload.rounds?.(rounds) ?? rounds;
  for (let round = 0; round < count; round += 1) {
    for (let i = 0; i < field.length; i += 1) {
      const contestant = field[(i + round) % field.length];
      progress(`${workload.id}: round ${round + 1} of ${count}: ${contestant.id}`);
      const figures = await measure(contestant, false);
      if (figures) results.get(contestant.id).rounds[round] = figures;
    }
  }

  return field.map(({ id, store, nodes, ours }) => {
    const result = results.get(id);
    const summary = summarise(result.rounds.filter(Boolean));
    const counted = commands.get(id);
    if (counted !== undefined)
      summary.commands = { median: counted, min: counted, max: counted, rounds: 1 };
    const ratios = ratiosOf(result.rounds, results.get(raw[store])?.rounds);
    return { contestant: id, store, nodes, ours: ours === true, ...result, summary, ratios };
  });
}

function takesPart(workload, contestant) {
  const runsOn = workload.stores[contestant.store] ?? [];
  return runsOn.includes(contestant.nodes) && (workload.appliesTo?.(contestant) ?? true);
}

/** To raw, each round against the same round. */
function ratiosOf(rounds, rawRounds) {
  if (rawRounds === undefined) return {};
  return summarise(
    rounds.flatMap((figures, round) => {
      const reference = rawRounds[round];
      if (!figures || !reference) return [];
      const both = Object.keys(figures).filter((figure) => figures[figure] && reference[figure]);
      return [
        Object.fromEntries(both.map((figure) => [figure, figures[figure] / reference[figure]])),
      ];
    }),
  );
}
