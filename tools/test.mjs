// `npm test`: all that a change must survive, on a machine that has Node and little else.
// `npm test -- -t renewal`: only jest, with these arguments.
//
// The last line is "N passed, N failed": the tests that jest ran, and under "failed" also each
// other check that failed. One failing check does not hide what the next one has to say.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { newestLts } from './newest-lts.mjs';
import { ensurePrograms } from './programs.mjs';

// Once there is a build, one after the other beside the specs.
const checks = [
  'check:consumers',
  'lint',
  'typecheck',
  'check:format',
  'check:docs',
  'check:package',
  'check:imports',
];

// Again on the newest LTS of Node: what needs no server. Whether planted faults are found does not
// depend on Node.
const onNewestLts = [
  ...['--selectProjects', 'unit', 'decorator'],
  ...['--testPathIgnorePatterns', 'conformance-suite', '--maxWorkers', '1'],
];

// Most of the time most specs wait: for a server to start, a lease to end, a process to die.
const allSpecs = ['--maxWorkers', String(Math.min(2 * availableParallelism(), 8))];

process.chdir(join(import.meta.dirname, '..'));
const jestArguments = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), 'nestjs-lock-test-'));
const failures = [];
/** The failed tests, again at the end: what jest printed of them may be thousands of lines above. */
const failedTests = [];
let passed = 0;
let failed = 0;

/** Runs a step and says how it went. One that is not `live` shows what it said when it is over. */
async function step(title, command, args, { live = false, env = process.env } = {}) {
  const start = Date.now();
  if (live) console.log(`\n=== ${title}`);
  const child = spawn(command, args, {
    stdio: live ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    env,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => (output += text));
  }
  const [status] = await once(child, 'close');
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  console.log(`\n${output}=== ${title}: ${status === 0 ? 'ok' : 'FAILED'} (${seconds} s)`);
  if (status !== 0) failures.push(title);
  return status === 0;
}

async function check(script) {
  // --ignore-scripts: the checks that pack the package need not build it again.
  const args = ['run', '--silent', '--ignore-scripts', script];
  if (!(await step(script, 'npm', args))) failed += 1;
}

async function jest(args, node = process.execPath) {
  const own = node === process.execPath;
  const totals = join(scratch, own ? 'totals.json' : 'lts-totals.json'); // written by jest-reporter.mjs
  const flags = ['--disable-warning=ExperimentalWarning', '--experimental-vm-modules'];
  const command = [...flags, 'node_modules/jest/bin/jest.js', ...args];
  const env = { ...process.env, JEST_TOTALS: totals };
  const where = own ? '' : ' on the newest LTS of Node';
  const ok = await step(`jest ${args.join(' ')}${where}`, node, command, { live: own, env });
  const counted = existsSync(totals)
    ? JSON.parse(readFileSync(totals, 'utf8'))
    : { passed: 0, failed: 0, failures: [] };
  passed += counted.passed;
  failedTests.push(...counted.failures);
  failed += ok ? 0 : Math.max(1, counted.failed); // it may have found no test, or not ended by itself
}

ensurePrograms();
if (jestArguments.length > 0) {
  spawnSync(process.execPath, ['tools/embed-scripts.mjs'], { stdio: 'inherit' });
  await jest(jestArguments);
} else {
  const lts = newestLts();
  await check('build');
  const others = async () => {
    for (const script of checks) await check(script);
    if (lts === undefined) console.log('\n=== no Node to be had for the newest LTS: not run there');
    else if (lts !== process.execPath) await jest(onNewestLts, lts);
  };
  await Promise.all([jest(allSpecs), others()]);
}
rmSync(scratch, { recursive: true });

for (const test of failedTests) console.log(`\nfailed: ${test}`);
if (failures.length > 0) console.log(`\nfailed: ${failures.join(', ')}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
