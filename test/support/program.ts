import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { eventually } from './eventually.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** A program that a test starts as its users would, from the root of the repository. */
export class Program {
  /** How it ended: its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  #output = '';
  #stdout = '';
  #running = true;

  private constructor(
    private readonly child: ChildProcess,
    private readonly line: string,
  ) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString();
      });
    }
    child.stdout?.on('data', (chunk: Buffer) => {
      this.#stdout += chunk.toString();
    });
    this.ended = once(child, 'close').then(([code, signal]) => {
      this.#running = false;
      return (signal ?? code) as number | NodeJS.Signals;
    });
  }

  /** @param input there is none unless the test writes it, to {@link stdin} */
  static start(
    command: string,
    args: string[],
    environment: NodeJS.ProcessEnv = {},
    input: 'ignore' | 'pipe' = 'ignore',
  ): Program {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: [input, 'pipe', 'pipe'],
    });
    return new Program(child, [command, ...args].join(' '));
  }

  get stdin(): Writable {
    return this.child.stdin!;
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** What it has written so far, on both streams, without colours. */
  get output(): string {
    return stripVTControlCharacters(this.#output);
  }

  /** What it has written so far on stdout alone. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Waits until it has written this; fails with what it wrote instead when it ends before. */
  async says(what: RegExp): Promise<void> {
    const said = () => what.test(this.output);
    await eventually(`${this.line} says ${String(what)}`, () => said() || !this.#running);
    if (!said()) throw new Error(`${this.line} ended without ${String(what)}: ${this.output}`);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Makes sure that it is gone when the test is. */
  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
