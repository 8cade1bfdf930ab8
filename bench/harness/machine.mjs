// What a reader needs to know to judge the figures.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';

const bench = join(import.meta.dirname, '..');

export async function describeMachine(servers, contestants) {
  const processors = cpus();
  const packages = [...new Set(contestants.flatMap(({ packages }) => packages))].sort();
  return {
    date: new Date().toISOString(),
    cpu: processors[0].model,
    cores: processors.length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${type()} ${release()}`,
    node: process.versions.node,
    ...(await servers.versions()),
    commit: commit(),
    packages: Object.fromEntries(packages.map((name) => [name, versionOf(name)])),
  };
}

function versionOf(name) {
  return JSON.parse(readFileSync(join(bench, 'node_modules', name, 'package.json'), 'utf8'))
    .version;
}

/** The commit that is measured, with a plus when files differ from it. */
function commit() {
  const git = (...args) => execFileSync('git', args, { cwd: bench, encoding: 'utf8' }).trim();
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') ? '+' : '');
  } catch {
    return 'unknown'; // not a clone
  }
}
