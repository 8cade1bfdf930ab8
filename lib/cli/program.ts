import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Lock } from '../interfaces/index.js';
import { CliError, EXIT } from './exit-codes.js';
import type { Ending, FromSupervisor, ToSupervisor } from './supervision.js';

/** The program that runs under a lock, seen from `run`. */
export class Program {
  readonly ended: Promise<Ending>;
  readonly #supervisor: ChildProcess;
  #pid: number | undefined;
  #ending: Ending | undefined;

  constructor(
    commandLine: readonly string[],
    private readonly lock: Lock,
    killAfter: number,
  ) {
    const { key, fencingToken } = lock;
    this.#supervisor = fork(
      fileURLToPath(new URL('./supervisor.js', import.meta.url)),
      [String(killAfter), ...commandLine],
      {
        // A session of its own: what stops the terminal's processes (Ctrl-Z) must not stop it.
        detached: true,
        execArgv: [],
        stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
        env: { ...process.env, LOCK_KEY: key, LOCK_FENCING_TOKEN: String(fencingToken) },
      },
    );
    this.#supervisor.on('message', (message) => {
      this.#hear(message as FromSupervisor);
    });
    this.ended = once(this.#supervisor, 'close').then(() => this.#ending ?? this.#abandoned());
  }

  signal(signal: NodeJS.Signals): void {
    this.#tell({ kind: 'signal', signal });
  }

  /** SIGTERM, and SIGKILL after so many milliseconds if they are given. */
  stop(within?: number): void {
    this.#tell({ kind: 'stop', within });
  }

  #hear(message: FromSupervisor): void {
    if (message.kind === 'ask') this.#tell({ kind: 'answer', remaining: this.lock.remaining });
    else if (message.kind === 'started') this.#pid = message.pid;
    else this.#ending = message;
  }

  #tell(message: ToSupervisor): void {
    // It goes as soon as the program has ended, which is no error.
    if (this.#supervisor.connected) this.#supervisor.send(message, () => undefined);
  }

  /** Nobody watches over the program any more. */
  #abandoned(): never {
    try {
      if (this.#pid !== undefined) process.kill(-this.#pid, 'SIGKILL');
    } catch {
      // It has gone as well.
    }
    throw new CliError('the supervisor was killed, and so the program is', EXIT.internal);
  }
}
