// How the cost of nestjs-lock grows: every series at each of its points, in rounds over the points.
import { contestants as allContestants } from './contestants/index.mjs';
import { series as allSeries } from './growth/index.mjs';
import { describeMachine } from './harness/machine.mjs';
import { failuresOf, matches } from './harness/outcome.mjs';
import { runRounds } from './harness/rounds.mjs';
import { machineOf, tableOf } from './harness/table.mjs';
import { plotGrowth } from './plots/growth.mjs';

export async function grow({ servers, options, progress, print }) {
  const { scale, only, smoke } = options;
  const contestants = ['nestjs-lock/redis', 'nestjs-lock/etcd']
    .map((id) => allContestants.find((contestant) => contestant.id === id))
    .filter(({ id }) => matches(options.contestants, id));
  const machine = await describeMachine(servers, contestants);
  print(machineOf(machine));

  const results = [];
  for (const series of allSeries.filter(({ id }) => matches(only, id))) {
    for (const contestant of contestants) {
      const points = (series.stores[contestant.store] ?? []).slice(0, smoke ? 2 : undefined);
      if (points.length === 0) continue;
      const field = points.map((point) => ({
        contestant,
        name: point.toLocaleString('en-US'),
        workload: { ...series, measure: (stage) => series.measure(stage, point) },
      }));
      const counting = !smoke;
      const rounds = options.rounds ?? series.rounds ?? 3;
      const measured = await runRounds({ servers, field, rounds, scale, counting, progress });
      const rows = measured.map((row, i) => ({ ...row, point: points[i] }));
      const title = `${series.title}, on ${contestant.store}`;
      print(tableOf({ ...series, title }, rows));
      results.push({
        series: series.id,
        title,
        store: contestant.store,
        plotted: plotted(series),
        rows,
      });
    }
  }
  const failures = results.flatMap(({ series, rows }) =>
    rows.flatMap((row) => failuresOf(row).map((failure) => `${series}: ${failure}`)),
  );
  return { machine, results, failures, svg: () => plotGrowth({ machine, results }) };
}

function plotted({ columns, plotted: figure }) {
  const { label } = columns.find((column) => column.figure === figure);
  return { figure, label };
}
