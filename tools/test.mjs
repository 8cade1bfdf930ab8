// `npm test`: all that a change must survive, on a machine that has Node and little else.
// `npm test -- -t renewal`: only jest, with these arguments.
//
// The last line is "N passed, N failed": the tests that jest ran, and under "failed" also each
// other check that failed. One failing check does not hide what the next one has to say.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newestLts } from './newest-lts.mjs';
import { ensurePrograms } from './programs.mjs';

const checks = [
  'typecheck',
  'lint',
  'check:format',
  'check:imports',
  'build',
  'check:package',
  'check:consumers',
];

// Tests in which processes and servers die have the machine to themselves. Left to end
// by itself, Node 20 sometimes spins for ever in its own cleanup (Environment::CleanupHandles) then.
const jestRuns = [
  ['--selectProjects', 'unit', 'conformance', 'decorator', 'nest-11', '--maxWorkers', '100%'],
  ['--selectProjects', 'simulation', '--maxWorkers', '100%'],
  ['--selectProjects', 'integration', '--maxWorkers', '100%'],
  ['--selectProjects', 'faults', '--runInBand', '--forceExit'],
];

// Again on the newest LTS of Node: what needs no server.
const onNewestLts = ['--selectProjects', 'unit', 'decorator', '--maxWorkers', '100%'];

process.chdir(join(import.meta.dirname, '..'));
const jestArguments = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), 'nestjs-lock-test-'));
const failures = [];
/** The failed tests, again at the end: what jest printed of them may be thousands of lines above. */
const failedTests = [];
let passed = 0;
let failed = 0;

/** Runs a step and says how it went. */
function step(title, command, args, env = process.env) {
  console.log(`\n=== ${title}`);
  const start = Date.now();
  const { status } = spawnSync(command, args, { stdio: 'inherit', env });
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  console.log(`=== ${title}: ${status === 0 ? 'ok' : 'FAILED'} (${seconds} s)`);
  if (status !== 0) failures.push(title);
  return status === 0;
}

function check(script) {
  // --ignore-scripts: the checks that pack the package need not build it again.
  if (!step(script, 'npm', ['run', '--silent', '--ignore-scripts', script])) failed += 1;
}

function jest(args, node = process.execPath) {
  const totals = join(scratch, 'totals.json'); // written by jest-reporter.mjs
  rmSync(totals, { force: true });
  const flags = ['--disable-warning=ExperimentalWarning', '--experimental-vm-modules'];
  const command = [...flags, 'node_modules/jest/bin/jest.js', ...args];
  const env = { ...process.env, JEST_TOTALS: totals };
  const where = node === process.execPath ? '' : ' on the newest LTS of Node';
  const ok = step(`jest ${args.join(' ')}${where}`, node, command, env);
  const counted = existsSync(totals)
    ? JSON.parse(readFileSync(totals, 'utf8'))
    : { passed: 0, failed: 0, failures: [] };
  passed += counted.passed;
  failedTests.push(...counted.failures);
  failed += ok ? 0 : Math.max(1, counted.failed); // it may have found no test, or not ended by itself
}

ensurePrograms();
if (jestArguments.length > 0) {
  spawnSync(process.execPath, ['tools/embed-lua.mjs'], { stdio: 'inherit' });
  jest(jestArguments);
} else {
  checks.forEach(check);
  jestRuns.forEach((args) => jest(args));
  const lts = newestLts();
  if (lts === undefined) console.log('\n=== no Node to be had for the newest LTS: not run there');
  else if (lts !== process.execPath) jest(onNewestLts, lts);
}
rmSync(scratch, { recursive: true });

for (const test of failedTests) console.log(`\nfailed: ${test}`);
if (failures.length > 0) console.log(`\nfailed: ${failures.join(', ')}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
