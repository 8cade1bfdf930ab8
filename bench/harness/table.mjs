// The figures as text.

/** A table per workload: medians, and in brackets the range over the rounds where it matters most. */
export function tableOf(workload, results) {
  const columns = workload.columns.filter((column) => results.some((row) => cell(column, row)));
  const head = ['', ...columns.map(({ label }) => label)];
  const rows = results.map((row) => [
    row.name,
    ...columns.map((column) => cell(column, row) ?? ''),
  ]);
  const lines = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  const text = lines.map((line) =>
    line.map((word, i) => (i === 0 ? word.padEnd(widths[i]) : word.padStart(widths[i]))).join('  '),
  );
  text.splice(1, 0, widths.map((width) => '─'.repeat(width)).join('  '));
  const errors = results.flatMap(({ name, errors }) =>
    [...new Set(errors)].map((error) => `${name}: ${error.split('\n')[0]}`),
  );
  return [`${workload.id}: ${workload.title}`, '', ...text, ...errors, ''].join('\n');
}

function cell({ figure, ratio, range, total }, { summary, ratios, rounds }) {
  const value = (ratio ? ratios : summary)[figure];
  if (value === undefined) return undefined;
  if (total) return String(rounds.reduce((sum, round) => sum + (round?.[figure] ?? 0), 0));
  if (ratio) return value.median.toFixed(2);
  const middle = shown(value.median);
  return range && value.rounds > 1
    ? `${middle} (${shown(value.min)} – ${shown(value.max)})`
    : middle;
}

/** Three digits that count, and no more than three behind the point. */
export function shown(number) {
  const size = Math.abs(number);
  if (size >= 100) return Math.round(number).toLocaleString('en-US');
  if (size >= 10) return number.toFixed(1);
  return size >= 1 ? number.toFixed(2) : number.toFixed(3);
}

export function machineOf({ packages, ...machine }) {
  const { cpu, cores, memory, system, node, redis, etcd, postgres, commit, date } = machine;
  return [
    `${cpu}, ${cores} cores, ${memory}, ${system}`,
    `Node ${node}, Redis ${redis}, etcd ${etcd}, PostgreSQL ${postgres}, commit ${commit}, ${date}`,
    Object.entries(packages)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
    '',
  ].join('\n');
}
