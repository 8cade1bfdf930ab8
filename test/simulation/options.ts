import { parseArgs } from 'node:util';
import { FAULTS, type Fault } from './nemesis.js';
import type { Plan } from './simulation.js';
import { TOPOLOGIES, type TopologyName } from './topologies.js';

/** What `npm run simulate` is to do. */
export interface Options {
  readonly topologies: readonly TopologyName[];
  readonly plan: Omit<Plan, 'topology' | 'seed'>;
  /** Of the first history of each topology. */
  readonly seed: number;
  /** How many histories of each topology. */
  readonly runs: number;
  /** Which of all histories are this process's: every so manieth, from this on. */
  readonly share: readonly [index: number, of: number];
  readonly jobs: number;
  readonly trace: boolean;
  readonly mutants: boolean;
}

/** @throws Error for what it does not know */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      topology: { type: 'string', multiple: true },
      seed: { type: 'string' },
      runs: { type: 'string' },
      hours: { type: 'string' },
      seconds: { type: 'string', default: '60' },
      processes: { type: 'string', default: '4' },
      users: { type: 'string', default: '4' },
      faults: { type: 'string', default: Object.keys(FAULTS).join() },
      jobs: { type: 'string', default: '1' },
      share: { type: 'string', default: '0/1' },
      trace: { type: 'boolean', default: false },
      mutants: { type: 'boolean', default: false },
    },
  });
  const all = Object.keys(TOPOLOGIES) as TopologyName[];
  const topologies = (values.topology ?? all).map((name) => known('topology', name, all));
  const seconds = number('seconds', values.seconds);
  const hours = values.hours === undefined ? 0 : number('hours', values.hours);
  const each = Math.ceil((hours * 3_600) / (seconds * topologies.length));
  const kinds = Object.keys(FAULTS) as Fault[];
  const [index = 0, of = 1] = values.share.split('/').map((part) => number('share', part));
  return {
    topologies,
    plan: {
      seconds,
      processes: number('processes', values.processes),
      users: number('users', values.users),
      faults: values.faults
        .split(',')
        .flatMap((name) => (name ? [known('faults', name, kinds)] : [])),
    },
    seed: number('seed', values.seed ?? String(Math.floor(Math.random() * 2 ** 31))),
    runs: values.runs === undefined ? Math.max(1, each) : number('runs', values.runs),
    share: [index, of],
    jobs: number('jobs', values.jobs),
    trace: values.trace,
    mutants: values.mutants,
  };
}

/** What runs exactly this history again. */
export function commandFor({ topology, seed, seconds, processes, users, faults }: Plan): string {
  const what = `--topology '${topology}' --seed ${seed} --runs 1 --seconds ${seconds}`;
  return `npm run simulate -- ${what} --processes ${processes} --users ${users} --faults '${faults.join()}' --trace`;
}

function number(option: string, value: string): number {
  const read = Number(value);
  if (value !== '' && read >= 0 && Number.isFinite(read)) return read;
  throw new Error(`--${option} must be a number, got ${value}`);
}

function known<Name extends string>(option: string, value: string, all: readonly Name[]): Name {
  const name = all.find((one) => one === value);
  if (name !== undefined) return name;
  throw new Error(`--${option} must be one of ${all.join(', ')}, got ${value}`);
}
