import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** A redis-server process, whatever it serves as. */
export class RedisProcess {
  #child: ChildProcess | undefined;

  get running(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts it, and waits until its log says that it is `ready`; fails with the log when it ends before. */
  async launch(
    args: readonly string[],
    ready: string,
    environment: NodeJS.ProcessEnv = {},
  ): Promise<void> {
    const child = spawn('redis-server', args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
    });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      let log = '';
      child.stdout.on('data', (chunk: Buffer) => {
        log += chunk.toString();
        if (log.includes(ready)) resolve();
      });
      child.once('error', reject);
      // With all that it has said.
      child.once('close', (code) => {
        reject(new Error(`redis-server ended with ${String(code)}: ${log}`));
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
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}
