import { EventEmitter } from 'node:events';
import type { RedisClient } from '../../lib/backends/redis-common/redis-client.js';
import { ScriptRunner, serverOf } from '../../lib/backends/redis-common/script-runner.js';

/** Longer than a test may take. */
const PATIENCE = 60_000;

/** A client that stays in one state. */
function clientThatIs(status: string): RedisClient {
  const call = () => Promise.reject(new Error('nothing is to be sent'));
  return Object.assign(new EventEmitter(), { status, call }) as unknown as RedisClient;
}

describe('a script that is sent after the runner was closed', () => {
  it.each(['disconnecting', 'reconnecting', 'connecting', 'end'])(
    'is refused at once while the client is %s, and keeps nothing running',
    async (status) => {
      const scripts = { one: { sha: 'sha', source: 'return 1' } };
      const client = clientThatIs(status);
      const runner = new ScriptRunner(client, scripts, PATIENCE, serverOf(client));
      runner.close();
      await expect(runner.run('one', ['key'], [])).rejects.toThrow('the connection is closed');
    },
  );
});
