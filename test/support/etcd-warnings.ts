import { execFileSync } from 'node:child_process';
import { isSound } from '../../lib/backends/etcd/server-version.js';
import { eventually } from './eventually.js';
import { warnings } from './two-processes.js';

/** Waits until each of so many services has warned of the installed etcd, if it is to be warned of, and of nothing else. */
export async function expectNoOtherWarnings(services: number): Promise<void> {
  const [, version = ''] =
    /etcd Version: (\S+)/.exec(execFileSync('etcd', ['--version'], { encoding: 'utf8' })) ?? [];
  const expected = isSound(version)
    ? []
    : Array.from(
        { length: services },
        () => expect.stringContaining(`etcd ${version} may confirm`) as unknown,
      );
  await eventually('the warnings', () => warnings.length >= expected.length);
  expect(warnings).toEqual(expected);
}
