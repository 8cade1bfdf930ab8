import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** In memory, where the system has that: each write waits for its disk. */
const storage = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A real etcd process, with its data in a folder of its own. It loses them only at {@link stop}. */
export class EtcdProcess {
  #child: ChildProcess | undefined;

  private constructor(
    private readonly folder: string,
    private readonly settings: readonly string[],
  ) {}

  /** Not started yet. @param settings as on the command line */
  static async prepare(settings: readonly string[]): Promise<EtcdProcess> {
    return new EtcdProcess(await mkdtemp(join(storage, 'nestjs-lock-etcd-')), settings);
  }

  /** Starts it, again with the data that it had, and waits until it serves requests. */
  async launch(): Promise<void> {
    const fixed = ['--data-dir', join(this.folder, 'data'), '--logger', 'capnslog'];
    const child = spawn('etcd', [...fixed, ...this.settings], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      let log = '';
      child.stderr.on('data', (chunk: Buffer) => {
        log = (log + chunk.toString()).slice(-10_000);
        if (/serving (insecure )?client requests/.test(log)) resolve();
      });
      child.once('error', reject);
      child.once('exit', (code) => {
        reject(new Error(`etcd ended with ${String(code)}: ${log}`));
      });
    });
  }

  /** SIGSTOP: it keeps its connections and answers nothing. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
