// `npm run simulate`: see docs/proof.md.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Backstage } from './backstage.js';
import { hunt } from './hunt.js';
import { commandFor, type Options, readOptions } from './options.js';
import { shortest } from './shortest.js';
import { type Plan, type Report, simulate } from './simulation.js';
import { Totals } from './totals.js';

/** So much of a history is shown before what must not be. */
const SHOWN = 60;

const args = process.argv.slice(2);
const options = readOptions(args);
const backstage = new Backstage();
try {
  if (options.mutants) await hunt(options, backstage);
  else if (options.jobs > 1) await share(options);
  else await runAll(options);
} finally {
  backstage.close();
}

async function runAll({ topologies, plan, seed, runs, share: [index, of], trace }: Options) {
  const totals = new Totals();
  const histories = Array.from({ length: runs }, (_, run) => {
    return topologies.map((topology): Plan => ({ ...plan, topology, seed: seed + run }));
  });
  for (const [n, history] of histories.flat().entries()) {
    if (n % of !== index) continue;
    const report = await play(history, trace);
    totals.add(report);
    // For who has shared out the work.
    if (of > 1) console.log(`report ${JSON.stringify(report)}`);
    if (report.violations.length > 0) await explain(report);
  }
  if (of === 1) conclude(totals);
}

/** The same in several processes. */
async function share({ jobs, seed }: Options): Promise<void> {
  const totals = new Totals();
  await Promise.all(
    Array.from({ length: jobs }, async (_, index) => {
      const own = [...args, '--seed', `${seed}`, '--jobs', '1', '--share', `${index}/${jobs}`];
      const child = spawn(process.execPath, [process.argv[1]!, ...own], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'exit');
      for await (const line of createInterface({ input: child.stdout })) {
        if (line.startsWith('report ')) totals.add(JSON.parse(line.slice(7)) as Report);
        else console.log(line);
      }
      await ended;
      if (child.exitCode !== 0 && totals.violations === 0) {
        throw new Error(`a job ended with ${child.exitCode}`);
      }
    }),
  );
  conclude(totals);
}

function conclude(totals: Totals): void {
  console.log(String(totals));
  console.log(`seed ${options.seed}: ${totals.grants} grants, ${totals.violations} violations`);
  if (totals.violations > 0) process.exitCode = 1;
}

async function play(plan: Plan, trace = false): Promise<Report> {
  const tell = (at: number, words: string): void => {
    console.log(inWords(at, words));
  };
  return simulate(plan, { ...(await backstage.for(plan.topology)), ...(trace && { tell }) });
}

/** Shows the shortest history that was found, and how it ended. */
async function explain(failed: Report): Promise<void> {
  const surroundings = await backstage.for(failed.plan.topology);
  console.log(`${failed.violations.join('\n')}\n\nAgain:\n  ${commandFor(failed.plan)}`);
  const { plan } = await shortest(failed, surroundings);
  const lines: string[] = [];
  const { violations } = await simulate(plan, {
    ...surroundings,
    tell: (at, words) => lines.push(inWords(at, words)),
  });
  const end = lines.findIndex((line) => line.includes('VIOLATION')) + 1;
  const before = lines.slice(0, end).filter(isTelling).slice(-SHOWN);
  console.log(`\nThe shortest that was found:\n  ${commandFor(plan)}\n\n${before.join('\n')}`);
  console.log(violations.join('\n'));
}

/** Who held and who waited, what went wrong, and what the package said. */
function isTelling(line: string): boolean {
  return /(enters|leaves|asks for|FAULT|VIOLATION|logged|granted|everything)/.test(line);
}

function inWords(at: number, words: string): string {
  return `${(at / 1_000).toFixed(4).padStart(9)} s  ${words}`;
}
