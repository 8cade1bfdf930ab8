// `npm test`: every test, on a machine that has Node and little else.
// `npm test -- -t renewal`: only jest, with these arguments.
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { ensurePrograms } from './programs.mjs';
import { conclude, jest, script } from './steps.mjs';

const jestArguments = process.argv.slice(2);

// The same specs on other versions are a matter of `npm run check`.
const everything = [
  ...['--ignoreProjects', 'nest-11', 'opentelemetry-3'],
  // Most of the time most specs wait: for a server to start, a lease to end, a process to die.
  ...['--maxWorkers', String(Math.min(2 * availableParallelism(), 8))],
];

ensurePrograms();
if (jestArguments.length > 0) {
  spawnSync(process.execPath, ['tools/embed.mjs'], { stdio: 'inherit' });
  await jest(jestArguments, { live: true });
} else {
  await script('build');
  await jest(everything, { live: true });
}
conclude();
