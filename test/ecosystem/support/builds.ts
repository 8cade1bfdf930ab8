import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { answer } from '../builds/application.js';
import { row, type Row } from './row.js';

const start = promisify(execFile);

/** Of this folder of the repository: the compiled file is two below it. */
export const home = join(dirname(fileURLToPath(import.meta.url)), '../..');
export const source = (file: string): string => join(home, 'builds', file);

/** What builds/main.ts says that it saw. */
interface Seen {
  above: unknown;
  below: unknown;
  held: number;
  error: string;
}

/**
 * The row of a compiler or a bundler.
 * @param build writes the program into the folder, and says which of the files it is
 */
export function buildRow(
  words: Pick<Row, 'packages' | 'note'>,
  build: (folder: string) => Promise<string>,
): Promise<void> {
  let seen: Promise<Seen> | undefined;
  return row({
    ...words,
    beside: '`@Get`',
    async run(scene) {
      seen ??= buildAndRun(build);
      const { [scene.order]: answers, held, error } = await seen;
      assert.deepEqual(answers, Array(3).fill(answer('7')));
      scene.elsewhere = { locked: true, released: held === 0 ? 'after' : 'never' };
      assert.equal(error, 'LockKeyError', 'errors keep their names');
    },
  });
}

async function buildAndRun(build: (folder: string) => Promise<string>): Promise<Seen> {
  // There the program finds what was not bundled.
  const folder = mkdtempSync(join(home, 'dist/build-'));
  try {
    const { stdout } = await start(process.execPath, [await build(folder)]);
    return JSON.parse(/^SEEN (.*)$/m.exec(stdout)?.[1] ?? '{}') as Seen;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The row of a test runner, given the arguments that have it run the tests of builds/ whose name has it. */
export function testRow(
  words: Pick<Row, 'packages' | 'note'>,
  args: (name: string) => string[],
): Promise<void> {
  return row({
    ...words,
    beside: '`@Get`',
    async run(scene) {
      const said = await start(process.execPath, args(`locks ${scene.order}`), {
        cwd: home,
        env: { ...process.env, FORCE_COLOR: '0', NO_COLOR: '1' },
      });
      // A runner that finds no test of this name is content.
      assert.match(said.stdout + said.stderr, /\b1 passed/);
      scene.elsewhere = { locked: true, released: 'after' };
    },
  });
}
