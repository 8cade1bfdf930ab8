import { Logger } from '@nestjs/common';
import { Timeline } from './clock/timeline.js';
import { type Fault, Nemesis } from './nemesis.js';
import { Network } from './network.js';
import type { PackageLoader } from './package-loader.js';
import { Population } from './population.js';
import type { RealRedis } from './redis/real-redis.js';
import { type Store, TOPOLOGIES, type TopologyName } from './topologies.js';
import { Ledger } from './users/ledger.js';
import { type Outcome, Site } from './users/site.js';

/** All that a history depends on, but for the package. */
export interface Plan {
  readonly topology: TopologyName;
  readonly seed: number;
  /** For so many seconds things go wrong. */
  readonly seconds: number;
  readonly processes: number;
  /** In each process. */
  readonly users: number;
  readonly faults: readonly Fault[];
}

export interface Report {
  readonly plan: Plan;
  readonly violations: readonly string[];
  readonly grants: number;
  readonly outcomes: Readonly<Partial<Record<Outcome, number>>>;
  readonly faults: Readonly<Partial<Record<Fault, number>>>;
  readonly commands: number;
  readonly happenings: number;
  /** Simulated seconds. */
  readonly seconds: number;
  /** The longest that anybody waited once everything worked, in milliseconds. */
  readonly longestWait: number;
  readonly hash: string;
}

/** Once everything works, everybody is served within so many milliseconds. */
const BOUND = 30_000;

/** For so long everything works before the users go, in milliseconds. */
const CALM = 20_000;

/** Once everything works, so many commands a grant does each server have at most... */
const COMMANDS_A_GRANT = 10;

/** ... and so many from each process in that time, for heartbeats and renewals. */
const COMMANDS_OF_A_PROCESS = 100;

/** What is only kept for a while has ended by then, in milliseconds. */
const LATER = 180_000;

/** Thousands of histories have enough of it. */
const MOST_VIOLATIONS = 3;

export interface Surroundings {
  readonly loader: PackageLoader;
  /** As many as the topology needs, at least. */
  readonly servers: readonly RealRedis[];
  /** Is told what happens, if wanted. */
  readonly tell?: (at: number, words: string) => void;
}

/** One history, from the first grant to the last timer. */
export async function simulate(plan: Plan, surroundings: Surroundings): Promise<Report> {
  const { loader, tell = () => undefined } = surroundings;
  const topology = TOPOLOGIES[plan.topology];
  const servers = surroundings.servers.slice(0, topology.servers);
  for (const server of servers) await server.clear();
  const commands = (): number => servers.reduce((sum, server) => sum + server.commands, 0);
  const before = commands();

  const timeline = new Timeline(plan.seed, tell);
  const network = new Network(timeline);
  const store = topology.build({ timeline, network, servers });
  const ledger = new Ledger(timeline, topology.excludes);
  const site = new Site(timeline, ledger, store.supports);
  const population = new Population(site, timeline, network, store, loader, plan);
  const nemesis = new Nemesis(timeline, network, store, population, plan.faults);
  const run = async (until: number, isOver = () => false): Promise<void> => {
    while (ledger.violations.length < MOST_VIOLATIONS && !isOver()) {
      if (!(await timeline.next(until))) return;
      ledger.look();
    }
  };
  const stopListening = listen(timeline, ledger);
  try {
    await run(plan.seconds * 1_000);
    nemesis.end();
    site.calmSince = ledger.calmSince = timeline.now;
    timeline.note('everything works from now on');
    const calm = { commands: commands(), grants: ledger.grants };
    await run(timeline.now + CALM);
    const spent = commands() - calm.commands;
    const granted = ledger.grants - calm.grants;
    const each = COMMANDS_A_GRANT * granted + COMMANDS_OF_A_PROCESS * plan.processes;
    if (spent > each * servers.length) ledger.violation(`${spent} commands for ${granted} grants`);
    await end(site, population, store, run);
  } finally {
    stopListening();
    population.dispose();
  }
  return {
    plan,
    violations: ledger.violations,
    grants: ledger.grants,
    outcomes: site.outcomes,
    faults: nemesis.counts,
    commands: commands() - before,
    happenings: timeline.happenings,
    seconds: timeline.now / 1_000,
    longestWait: site.longestWait,
    hash: timeline.hash,
  };
}

/** Everybody goes, and nothing is left of them. */
async function end(
  site: Site,
  population: Population,
  store: Store,
  run: (until: number, isOver?: () => boolean) => Promise<void>,
): Promise<void> {
  const { ledger, timeline } = site;
  site.close();
  const ended = { all: false };
  void population.end().then(() => {
    ended.all = true;
  });
  await run(timeline.now + 2 * BOUND, () => ended.all);
  if (ledger.violations.length > 0) return;
  if (!ended.all) ledger.violation('not everybody was served, or a service does not close');
  if (site.longestWait > BOUND) {
    ledger.violation(`somebody waited for ${site.longestWait.toFixed()} ms, and all was well`);
  }
  await run(timeline.now + LATER);
  const left = await store.left();
  if (left.length > 0) ledger.violation(`${left.join(', ')} is left`);
}

/** Notes what the package logs, and what nobody handles; returns what ends that. */
function listen(timeline: Timeline, ledger: Ledger): () => void {
  const unhandled = (reason: unknown): void => {
    const what = reason instanceof Error ? reason.stack : String(reason);
    ledger.violation(`a rejection that nobody handles: ${what}`);
  };
  process.on('unhandledRejection', unhandled);
  const said = (message: unknown): void => {
    timeline.note(`it is logged: ${String(message)}`);
  };
  Logger.overrideLogger({ log: said, warn: said, error: said });
  return () => {
    process.off('unhandledRejection', unhandled);
    Logger.overrideLogger(false);
  };
}
