import { constants } from 'node:os';
import { LockError } from '../errors/index.js';
import { messageOf } from '../text/shown.js';

/**
 * What the exit codes of `nestjs-lock` mean, beside those of the program that it ran. They are those of
 * sysexits.h, and of a shell for what cannot be run: `etcdctl lock` (1 for everything) and `consul lock`
 * (0 also when the lock was lost) tell too little to follow.
 */
export const EXIT = {
  ok: 0,
  /** EX_USAGE */
  usage: 64,
  /** EX_UNAVAILABLE: the backend cannot be reached, or the client for it is not installed. */
  unavailable: 69,
  /** EX_SOFTWARE: a mistake of ours. */
  internal: 70,
  /** EX_TEMPFAIL: others hold the lock. */
  busy: 75,
  /** The lock was lost, or taken back, and the program stopped. sysexits.h ends at 78. */
  lost: 79,
  notExecutable: 126,
  notFound: 127,
} as const;

/** What a shell says of a program that a signal ended. */
export function exitCodeOfSignal(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/** Ends the command with a message and an exit code. */
export class CliError extends Error {
  constructor(
    message: string,
    readonly exitCode: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export function usageError(message: string): CliError {
  return new CliError(message, EXIT.usage);
}

/** What the library calls its options, as the command line does. */
const FLAGS: Readonly<Record<string, string>> = {
  ttl: '--ttl',
  wait: '--wait',
  maxHold: '--max-hold',
  minHold: '--min-hold',
  killAfter: '--kill-after',
  limit: '--limit',
  label: '--label',
  mode: '--shared: mode',
  reason: '--reason',
  grace: '--grace',
  namespace: '--namespace',
  url: '--redis',
  cluster: '--cluster',
  nodes: '--redlock',
  hosts: '--etcd',
  connectionString: '--postgres',
  schema: '--schema',
};

/** What to say of an error, and how to exit. */
export function verdictOn(error: unknown): { message: string; exitCode: number } {
  const message = messageOf(error);
  if (error instanceof CliError) return { message, exitCode: error.exitCode };
  switch (error instanceof LockError ? error.code : undefined) {
    case 'LOCK_CONFIGURATION':
    case 'LOCK_KEY':
      return {
        message: message.replace(/^\w+/, (option) => FLAGS[option] ?? option),
        exitCode: EXIT.usage,
      };
    case 'LOCK_TIMEOUT':
      return { message, exitCode: EXIT.busy };
    case 'LOCK_LOST':
      return { message, exitCode: EXIT.lost };
    case 'LOCK_BACKEND':
      return { message, exitCode: EXIT.unavailable };
    default:
      return { message: (error as Error | null)?.stack ?? message, exitCode: EXIT.internal };
  }
}
