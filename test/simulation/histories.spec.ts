import { spawnSync } from 'node:child_process';
import { TOPOLOGIES } from './topologies.js';

/** For longer runs: five nodes cost more than all others, and of the others each is there guarded. */
const LEFT_OUT = ['redlock of 5', 'redis that forgets', 'failover'];

const topologies = Object.keys(TOPOLOGIES).filter((name) => !LEFT_OUT.includes(name));

/** Random histories of many topologies, by `npm run simulate`: what it prints says how to run one again. */
function simulate(...args: string[]): { readonly ok: boolean; readonly output: string } {
  const where = topologies.flatMap((name) => ['--topology', name]);
  const command = ['tools/simulate.mjs', '--jobs', '2', '--seconds', '12', ...where, ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' });
  return { ok: status === 0, output: stdout + stderr };
}

describe('random histories keep what is promised', () => {
  it.each([
    ['with the seeds of always', ['--seed', '1', '--runs', '1']],
    ['with seeds that nobody has tried', ['--runs', '1']],
  ])(
    '%s',
    (_, args) => {
      const { ok, output } = simulate(...args);
      // Where it fails, this shows all of it.
      expect(ok ? '' : output).toBe('');
      expect(output).toMatch(/seed \d+: [1-9]\d+ grants, 0 violations/);
    },
    600_000,
  );
});
