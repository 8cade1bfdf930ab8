// `npm run simulate`: see docs/proof.md.
import { parseArgs } from 'node:util';
import { Logger } from '@nestjs/common';
import { ClockShim } from '../support/clock-shim.js';
import { MUTANTS } from './mutants.js';
import { FAULTS, type Fault } from './nemesis.js';
import { PackageLoader } from './package-loader.js';
import { RealRedis } from './redis/real-redis.js';
import { type Plan, simulate } from './simulation.js';
import { TOPOLOGIES, type TopologyName } from './topologies.js';

const root = process.cwd();
const { values } = parseArgs({
  options: {
    topology: { type: 'string', default: 'redis' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    processes: { type: 'string', default: '4' },
    users: { type: 'string', default: '4' },
    faults: { type: 'string', default: Object.keys(FAULTS).join() },
    runs: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
  },
});
Logger.overrideLogger(false);
const shim = ClockShim.build();
const servers: RealRedis[] = [];
const plan = (topology: TopologyName, seed: number): Plan => ({
  topology,
  seed,
  seconds: Number(values.seconds),
  processes: Number(values.processes),
  users: Number(values.users),
  faults: values.faults.split(',').filter(Boolean) as Fault[],
});
async function serversFor(topology: TopologyName): Promise<RealRedis[]> {
  while (servers.length < TOPOLOGIES[topology].servers)
    servers.push(await RealRedis.start(shim.library));
  return servers;
}
if (values.mutants) {
  for (const { name, topology, planted } of MUTANTS) {
    if (!name.includes(values.only)) continue;
    const loader = new PackageLoader(root, planted);
    const start = performance.now();
    let said = '';
    let seed = 1;
    for (; seed <= Number(values.runs) && said === ''; seed++) {
      const report = await simulate(plan(topology, seed), {
        loader,
        servers: await serversFor(topology),
      });
      said = report.violations[0] ?? '';
    }
    const real = ((performance.now() - start) / 1000).toFixed(1);
    console.log(
      `${said === '' ? 'NOT FOUND' : `seed ${seed - 1}`} | ${name} | ${topology} | ${real} s | ${said.slice(0, 160)}`,
    );
  }
} else {
  const topology = values.topology as TopologyName;
  const loader = new PackageLoader(root);
  for (let run = 0; run < Number(values.runs); run++) {
    const start = performance.now();
    const report = await simulate(plan(topology, Number(values.seed) + run), {
      loader,
      servers: await serversFor(topology),
      ...(values.trace && {
        tell: (at: number, words: string) => {
          console.log((at / 1000).toFixed(5), words);
        },
      }),
    });
    const real = (performance.now() - start) / 1000;
    console.log(
      JSON.stringify({
        ...report,
        plan: undefined,
        seed: Number(values.seed) + run,
        real: real.toFixed(1),
        speed: (report.seconds / real).toFixed(),
      }),
    );
  }
}
for (const server of servers) server.stop();
shim.remove();
