import type { Keyspace } from './keyspace.js';
import type { Delivery } from './mailbox.js';
import type { Connection } from './redis-client.js';
import { hasMend, isPassing, isReply, replyError, toBackendError } from './redis-errors.js';
import type { ScriptRunner } from './script-runner.js';
import type { CommonCalls } from './scripts/calls.js';

/** The first version with SET … GET, in which the scripts take their tokens. */
const OLDEST = [6, 2] as const;

/** What at this server would break our promises, each with its mend. What may pass shows elsewhere. Never rejects. */
export async function checkServer(
  client: Connection,
  runner: ScriptRunner<CommonCalls>,
  keyspace: Keyspace,
  delivery: Delivery,
): Promise<string[]> {
  const [settings, rights] = await Promise.all([
    checkSettings(client, runner).catch((error: unknown) => unchecked('INFO', error)),
    checkRights(runner, keyspace, delivery).catch((error: unknown) =>
      unchecked('EVALSHA or EVAL', error),
    ),
  ]);
  return [...settings, ...rights];
}

async function checkSettings(
  client: Connection,
  runner: ScriptRunner<CommonCalls>,
): Promise<string[]> {
  const warnings = [];
  const info = await runner.answered(client.info('default'));
  const read = (field: string) => new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(info)?.[1];

  const version = read('redis_version') ?? '';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    warnings.push(
      `Redis ${version} is older than ${OLDEST.join('.')} and cannot run the lock scripts: update it.`,
    );
  }
  const policy = read('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    warnings.push(
      `Redis has the maxmemory-policy ${policy}, which may evict a lock while it is held: ` +
        'use CONFIG SET maxmemory-policy noeviction, or a Redis of its own for locks.',
    );
  }
  return warnings;
}

async function checkRights(
  runner: ScriptRunner<CommonCalls>,
  keyspace: Keyspace,
  delivery: Delivery,
): Promise<string[]> {
  const errors = await runner.run('check', keyspace.check, [delivery, `${keyspace.channel}check`]);
  const warnings = errors
    .map((error) => /^(\w+): (.*)$/s.exec(error)?.slice(1) ?? ['', error])
    .map(([command = '', said = '']) => {
      const error = replyError(said);
      // It shows elsewhere while it lasts.
      if (isPassing(error)) return undefined;
      return hasMend(error)
        ? toBackendError(error).message
        : `The Redis user lacks a right that locks need: ${command}: ${said}. See the minimal ACL in docs/backends/redis.md.`;
    });
  return [...new Set(warnings)].filter((warning) => warning !== undefined);
}

function unchecked(what: string, error: unknown): string[] {
  if (!isReply(error) || isPassing(error)) return [];
  return [
    `Redis refuses ${what}, so not everything could be checked: ${String(error)}. See the minimal ACL in docs/backends/redis.md.`,
  ];
}
