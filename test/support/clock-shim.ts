import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('./clock-shim.c', import.meta.url));

/** A wall clock for a server process that a test can set; the rest of the machine keeps its own. */
export class ClockShim {
  /** For redis-server: its allocator's own thread sleeps until a time of day, and by a clock that is behind it never does. */
  static readonly SETTINGS = ['--jemalloc-bg-thread', 'no'] as const;

  private constructor(private readonly folder: string) {
    writeFileSync(this.#file, Buffer.alloc(8));
  }

  /** Builds the shim; throws with what to install when there is no C compiler. */
  static build(): ClockShim {
    const folder = mkdtempSync(join(tmpdir(), 'nestjs-lock-clock-'));
    const shim = new ClockShim(folder);
    const flags = ['-shared', '-fPIC', '-O2', '-Wall', '-Werror'];
    const { error, status, stderr } = spawnSync('cc', [...flags, '-o', shim.library, source], {
      encoding: 'utf8',
    });
    if (error !== undefined) {
      throw new Error(
        'Moving the clock of redis-server needs a C compiler. To install one on Debian or Ubuntu: ' +
          'sudo apt-get update && sudo apt-get install gcc libc6-dev',
        { cause: error },
      );
    }
    if (status !== 0) throw new Error(`clock-shim.c did not compile: ${stderr}`);
    return shim;
  }

  /** For the process whose clock is to be moved. */
  get environment(): NodeJS.ProcessEnv {
    return { LD_PRELOAD: this.library, CLOCK_SHIM_FILE: this.#file };
  }

  /** Sets the clock so many milliseconds off the true one. */
  step(ms: number): void {
    const micros = Buffer.alloc(8);
    micros.writeBigInt64LE(BigInt(ms) * 1000n);
    // Written in place: the process has this very file in its memory.
    writeFileSync(this.#file, micros, { flag: 'r+' });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** To be preloaded. */
  get library(): string {
    return join(this.folder, 'clock-shim.so');
  }

  get #file(): string {
    return join(this.folder, 'offset');
  }
}
