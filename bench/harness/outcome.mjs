// What the command line chooses, and what makes a run fail.

/** Whether an id begins with one of the prefixes, when there are any. */
export function matches(prefixes, id) {
  return prefixes === undefined || prefixes.some((prefix) => id.startsWith(prefix));
}

/** What went wrong with one contestant: its errors, and violations. */
export function failuresOf({ name, errors, rounds }) {
  const violations = rounds.reduce((sum, round) => sum + (round?.violations ?? 0), 0);
  return [
    ...errors.map((error) => `${name}: ${error}`),
    ...(violations > 0 ? [`${name}: ${violations} violations`] : []),
  ];
}
