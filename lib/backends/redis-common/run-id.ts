import type { RedisClient } from './redis-client.js';
import type { ScriptRunner } from './script-runner.js';
import type { CommonCalls } from './scripts/calls.js';

/** By what a server knows itself again: another one after each start. */
export async function runIdOf(
  client: RedisClient,
  runner: Pick<ScriptRunner<CommonCalls>, 'answered'>,
): Promise<string> {
  const info = await runner.answered(client.info('server'));
  const run = /^run_id:(\w+)/m.exec(info)?.[1];
  if (run === undefined) throw new Error('Redis does not tell its run_id, see INFO');
  return run;
}
