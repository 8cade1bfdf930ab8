// The contestants side by side: every workload, every contestant, in rounds.
import { contestants as allContestants } from './contestants/index.mjs';
import { describeMachine } from './harness/machine.mjs';
import { runWorkload } from './harness/rounds.mjs';
import { machineOf, tableOf } from './harness/table.mjs';
import { plotComparison } from './plots/comparison.mjs';
import { workloads as allWorkloads } from './workloads/index.mjs';

export async function compare({ servers, options, progress, print }) {
  const { rounds, scale, only, smoke } = options;
  const contestants = allContestants.filter(({ id }) => matches(options.contestants, id));
  const workloads = allWorkloads.filter(({ id }) => matches(only, id));
  const machine = await describeMachine(servers, contestants);
  print(machineOf(machine));

  const results = [];
  for (const workload of workloads) {
    const rows = await runWorkload({
      servers,
      workload,
      contestants,
      rounds,
      scale,
      counting: !smoke,
      progress,
    });
    if (rows.length === 0) continue;
    print(tableOf(workload, rows));
    results.push({ workload: workload.id, title: workload.title, results: rows });
  }
  const failures = results.flatMap(({ workload, results: rows }) =>
    rows.flatMap((row) => failuresOf(row, smoke).map((failure) => `${workload}: ${failure}`)),
  );
  return { machine, results, failures, svg: () => plotComparison({ machine, results }) };
}

function matches(prefixes, id) {
  return prefixes === undefined || prefixes.some((prefix) => id.startsWith(prefix));
}

/** A peer that fails is a result. What ours does wrong, and any figure of nobody, fails the run. */
function failuresOf({ contestant, ours, errors, rounds }, strict) {
  if (!ours && !strict) return [];
  const violations = rounds.reduce((sum, round) => sum + (round?.violations ?? 0), 0);
  return [
    ...errors.map((error) => `${contestant}: ${error}`),
    ...(violations > 0 ? [`${contestant}: ${violations} violations`] : []),
  ];
}
