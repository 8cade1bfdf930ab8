import { getSystemErrorMap } from 'node:util';
import type { LockBackend } from '../backends/lock-backend.js';
import { messageOf } from '../text/shown.js';
import type { Lock } from '../interfaces/index.js';
import type { LockService } from '../lock.service.js';
import type { RunInvocation } from './arguments.js';
import { CliError, EXIT, exitCodeOfSignal } from './exit-codes.js';
import { complain } from './output.js';
import { Program } from './program.js';
import { withService } from './service.js';
import type { Ending } from './supervision.js';

/** The signals that are meant for the program. */
const PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs a program under a lock. Resolves to the exit code, see exit-codes.ts. */
export function run(invocation: RunInvocation, backend: LockBackend): Promise<number> {
  if (process.platform === 'win32') {
    throw new CliError('run needs the process groups of POSIX: use WSL', EXIT.unavailable);
  }
  return withService(backend, invocation.label, (service) => new Run(invocation, service).end());
}

class Run {
  readonly #leaving = new AbortController();
  /** What to do with a signal: to wait no longer, until there is a program. */
  #pass = (signal: NodeJS.Signals): void => {
    this.#leaving.abort(signal);
  };

  constructor(
    private readonly invocation: RunInvocation,
    private readonly service: LockService,
  ) {}

  async end(): Promise<number> {
    for (const signal of PASSED_ON) {
      process.on(signal, () => {
        this.#pass(signal);
      });
    }
    const { key, hold } = this.invocation;
    const { signal } = this.#leaving;
    this.#say(`waiting for "${key}"`);
    try {
      const lock = await this.service.acquire(key, { ...hold, signal });
      this.#say(`"${key}" is held, with fencing token ${lock.fencingToken}`);
      try {
        return await this.#hold(lock);
      } finally {
        const outcome = await lock.release();
        this.#say(`"${key}" was given back: ${outcome}`);
      }
    } catch (error) {
      if (signal.aborted) return exitCodeOfSignal(signal.reason as NodeJS.Signals);
      throw error;
    }
  }

  async #hold(lock: Lock): Promise<number> {
    const { killAfter, program: commandLine } = this.invocation;
    // A lock that was handed over lives for a short claim until its first renewal.
    if (lock.remaining <= killAfter) await lock.renew();
    this.#leaving.signal.throwIfAborted();
    const program = new Program(commandLine, lock, killAfter);
    this.#pass = (signal) => {
      program.signal(signal);
    };
    onAbort(lock.revocation, () => {
      program.stop();
    });
    onAbort(lock.signal, () => {
      program.stop(killAfter);
    });
    return this.#exitCode(await program.ended, lock);
  }

  #exitCode({ stopped, errno, code, signal }: Ending, lock: Lock): number {
    if (stopped) {
      complain(`${whyStopped(lock)}: the program was stopped`);
      return EXIT.lost;
    }
    if (errno !== undefined) {
      const [name, why] = getSystemErrorMap().get(errno) ?? [];
      complain(`cannot run ${this.invocation.program[0] ?? ''}: ${why ?? errno}`);
      return name === 'ENOENT' ? EXIT.notFound : EXIT.notExecutable;
    }
    return signal === null ? (code ?? EXIT.internal) : exitCodeOfSignal(signal);
  }

  #say(message: string): void {
    if (this.invocation.verbose) complain(message);
  }
}

function whyStopped({ key, signal, revocation }: Lock): string {
  const { aborted } = signal;
  if (!aborted && !revocation.aborted) return `Lock "${key}" was about to be lost`;
  const { cause, message } = (aborted ? signal : revocation).reason as Error;
  const why = cause === undefined ? '' : messageOf(cause);
  return why === '' ? message : `${message} (${why})`;
}

function onAbort(signal: AbortSignal, then: () => void): void {
  if (signal.aborted) then();
  else signal.addEventListener('abort', then, { once: true });
}
