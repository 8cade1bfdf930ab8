// The newest LTS of Node: the one that runs us, if it is as new, or the one that an npm package ships.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** Node 26 becomes LTS in its own time: `process.release.lts` of a version tells. */
const LTS = '24.22.3';

/** Its path, installed on the first call and kept in node_modules/.cache; undefined where there is none. */
export function newestLts() {
  if (Number.parseInt(process.versions.node) >= Number.parseInt(LTS)) return process.execPath;
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const name = `node-${platform}-${process.arch}`;
  const home = join(import.meta.dirname, '../node_modules/.cache', `node-${LTS}`);
  const program = join(
    home,
    'node_modules',
    name,
    platform === 'win' ? 'bin/node.exe' : 'bin/node',
  );
  if (!existsSync(program)) {
    mkdirSync(home, { recursive: true });
    spawnSync('npm', ['install', '--prefix', home, '--no-save', `${name}@${LTS}`], {
      stdio: 'inherit',
    });
  }
  return existsSync(program) ? program : undefined;
}
