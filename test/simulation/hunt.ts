import type { Backstage } from './backstage.js';
import { MUTANTS } from './mutants.js';
import type { Options } from './options.js';
import { PackageLoader } from './package-loader.js';
import { simulate } from './simulation.js';

/** Plants each fault, and shows how many histories it takes until it is found. */
export async function hunt(
  { topologies, plan, seed, runs }: Options,
  backstage: Backstage,
): Promise<void> {
  console.log(
    '| planted | where | found in history | seconds | as |\n| --- | --- | --- | --- | --- |',
  );
  for (const { name, topology, planted } of MUTANTS) {
    if (!topologies.includes(topology)) continue;
    const loader = new PackageLoader(process.cwd(), planted);
    const { servers } = await backstage.for(topology);
    const start = performance.now();
    let found: string | undefined;
    let run = 0;
    while (found === undefined && run < runs) {
      const report = await simulate({ ...plan, topology, seed: seed + run++ }, { loader, servers });
      [found] = report.violations;
    }
    if (found === undefined) process.exitCode = 1;
    const seconds = ((performance.now() - start) / 1_000).toFixed(1);
    const how = found === undefined ? 'NOT FOUND' : `${run}`;
    console.log(`| ${name} | ${topology} | ${how} | ${seconds} | ${found ?? ''} |`);
  }
}
