import { join } from 'node:path';
import { Program, root } from './program.js';

/** The command line as it was built. By its own name: so the file must be executable. */
const PATH = join(root, 'dist/esm/cli/main.js');

const started = new Set<Program>();

/** `nestjs-lock` with these arguments. */
export function cli(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  input?: 'pipe',
): Program {
  const program = Program.start(PATH, [...args], environment, input);
  started.add(program);
  return program;
}

/** Makes sure that all are gone. */
export async function endPrograms(): Promise<void> {
  for (const program of started) {
    // What was stopped could not be told that its reader has gone.
    program.kill('SIGCONT');
    await program.stop();
  }
  started.clear();
}

/** A program to run under a lock, in the language of the shell. */
export function script(text: string): string[] {
  return ['--', 'sh', '-c', text];
}

/**
 * Says when it is still there, and does not go by itself: beside a shell that could, in the same
 * process group. It also says who its parent's parent is, the supervisor.
 */
export const stubborn = [
  '--',
  'sh',
  '-c',
  `ps=$PPID "$0" --eval '
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => console.log("ignored"));
    console.log("supervisor", process.env.ps);
    const tick = () => console.log("alive", Number(process.hrtime.bigint()) / 1e6);
    setInterval(tick, 10);
    tick();
  '; true`,
  process.execPath,
];

/** When {@link stubborn} last said that it is there, by `machineTime()`. */
export function lastAlive(program: Program): number {
  return Number([...program.stdout.matchAll(/^alive (\d+\.\d+)$/gm)].at(-1)?.[1]);
}

export function supervisorOf(program: Program): number {
  return Number(/^supervisor (\d+)$/m.exec(program.stdout)?.[1]);
}
