// The contestants side by side: every workload, every contestant, in rounds.
import { contestants as allContestants, raw } from './contestants/index.mjs';
import { describeMachine } from './harness/machine.mjs';
import { failuresOf, matches } from './harness/outcome.mjs';
import { runRounds } from './harness/rounds.mjs';
import { machineOf, tableOf } from './harness/table.mjs';
import { plotComparison } from './plots/comparison.mjs';
import { workloads as allWorkloads } from './workloads/index.mjs';

export async function compare({ servers, options, progress, print }) {
  const { scale, only, smoke } = options;
  const contestants = allContestants.filter(
    ({ id, onlyIfNamed }) =>
      matches(options.contestants, id) && !(onlyIfNamed && options.contestants === undefined),
  );
  const machine = await describeMachine(servers, contestants);
  print(machineOf(machine));

  const results = [];
  for (const workload of allWorkloads.filter(({ id }) => matches(only, id))) {
    const field = contestants
      .filter((contestant) => takesPart(workload, contestant))
      .map((contestant) => ({
        name: contestant.id,
        contestant,
        workload,
        reference: raw[contestant.store],
      }));
    if (field.length === 0) continue;
    const rounds = options.rounds ?? workload.rounds ?? 5;
    const rows = await runRounds({ servers, field, rounds, scale, counting: !smoke, progress });
    print(tableOf(workload, rows));
    results.push({ workload: workload.id, title: workload.title, rows });
  }
  // A peer that fails is a result; in the smoke check, it is the bench that fails.
  const failures = results.flatMap(({ workload, rows }) =>
    rows
      .filter(({ ours }) => ours || smoke)
      .flatMap((row) => failuresOf(row).map((failure) => `${workload}: ${failure}`)),
  );
  return { machine, results, failures, svg: () => plotComparison({ machine, results }) };
}

function takesPart(workload, contestant) {
  const runsOn = workload.stores[contestant.store] ?? [];
  return runsOn.includes(contestant.nodes) && (workload.appliesTo?.(contestant) ?? true);
}
