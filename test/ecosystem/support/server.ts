import { spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';

/** Starts a server, waits until its log says `ready`, and gives what ends it. */
export async function startServer(
  program: string,
  args: readonly string[],
  ready: string,
  options: SpawnOptions = {},
): Promise<() => Promise<void>> {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  await new Promise<void>((resolve, reject) => {
    let log = '';
    const hear = (chunk: Buffer) => {
      log += chunk.toString();
      if (log.includes(ready)) resolve();
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', reject);
    child.once('close', (code) => {
      reject(new Error(`${program} ended with ${String(code)}: ${log}`));
    });
  });
  return async () => {
    if (child.exitCode === null && child.kill('SIGINT')) await once(child, 'exit');
  };
}
