// The steps of `npm test` and of `npm run check`: each says how it went, and none hides what the next
// one has to say. The last line is "N passed, N failed": the tests that jest ran, and under "failed"
// also each other step that failed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

process.chdir(join(import.meta.dirname, '..'));

const scratch = mkdtempSync(join(tmpdir(), 'nestjs-lock-test-'));
const failures = [];
/** The failed tests, again at the end: what jest printed of them may be thousands of lines above. */
const failedTests = [];
let passed = 0;
let failed = 0;
let runs = 0;

/** Runs a script of package.json. */
export async function script(name) {
  // --ignore-scripts: those that pack the package need not build it again.
  const args = ['run', '--silent', '--ignore-scripts', name];
  if (!(await step(name, 'npm', args))) failed += 1;
}

/** Runs jest; what it says is `live` where nothing else runs beside it. */
export async function jest(args, { node = process.execPath, live = false } = {}) {
  const totals = join(scratch, `totals-${++runs}.json`); // written by jest-reporter.mjs
  const flags = ['--disable-warning=ExperimentalWarning', '--experimental-vm-modules'];
  const command = [...flags, 'node_modules/jest/bin/jest.js', ...args];
  const env = { ...process.env, JEST_TOTALS: totals };
  const where = node === process.execPath ? '' : ' on another Node';
  const ok = await step(`jest ${args.join(' ')}${where}`, node, command, { live, env });
  const counted = existsSync(totals)
    ? JSON.parse(readFileSync(totals, 'utf8'))
    : { passed: 0, failed: 0, failures: [] };
  passed += counted.passed;
  failedTests.push(...counted.failures);
  failed += ok ? 0 : Math.max(1, counted.failed); // it may have found no test, or not ended by itself
}

/** Says what failed, and how many there were, and ends the process. */
export function conclude() {
  rmSync(scratch, { recursive: true });
  for (const test of failedTests) console.log(`\nfailed: ${test}`);
  if (failures.length > 0) console.log(`\nfailed: ${failures.join(', ')}`);
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}

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
