/** The value below which the share `p` of the numbers lies. */
export function percentile(numbers, p) {
  if (numbers.length === 0) return undefined;
  const sorted = Float64Array.from(numbers).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))];
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Jain's index of fairness: 1 when all have the same, 1/n when one has all. */
export function jain(shares) {
  const sum = shares.reduce((a, b) => a + b, 0);
  const squares = shares.reduce((a, b) => a + b * b, 0);
  return squares === 0 ? undefined : (sum * sum) / (shares.length * squares);
}

/** Median and range of each figure over the rounds that have it. */
export function summarise(rounds) {
  const figures = [...new Set(rounds.flatMap((round) => Object.keys(round)))];
  const summary = {};
  for (const figure of figures) {
    const values = rounds.map((round) => round[figure]).filter((value) => value !== undefined);
    if (values.length === 0) continue;
    const [min, max] = [Math.min(...values), Math.max(...values)];
    summary[figure] = { median: median(values), min, max, rounds: values.length };
  }
  return summary;
}
