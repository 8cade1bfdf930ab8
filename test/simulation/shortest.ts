import { type Plan, type Report, simulate, type Surroundings } from './simulation.js';

/** So many shorter histories are tried. */
const TRIES = 60;

/** The shortest history that still fails, as far as leaving out one thing after the other finds it. */
export async function shortest(failed: Report, surroundings: Surroundings): Promise<Report> {
  let best = failed;
  let tries = 0;
  for (let candidates = shorter(best); tries < TRIES;) {
    const plan = candidates.shift();
    if (plan === undefined) break;
    tries++;
    const report = await simulate(plan, surroundings);
    if (report.violations.length === 0) continue;
    best = report;
    candidates = shorter(best);
  }
  return best;
}

/** The same with less: what takes most away first. */
function shorter({ plan, seconds }: Report): Plan[] {
  const { faults, processes, users } = plan;
  return [
    ...(Math.ceil(seconds) < plan.seconds ? [{ ...plan, seconds: Math.ceil(seconds) }] : []),
    ...faults.map((fault) => ({ ...plan, faults: faults.filter((one) => one !== fault) })),
    ...(processes > 2 ? [{ ...plan, processes: processes - 1 }] : []),
    ...(users > 1 ? [{ ...plan, users: users - 1 }] : []),
  ];
}
