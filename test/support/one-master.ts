import { eventually } from './eventually.js';
import { host, reader } from './redis-nodes.js';
import { RedisServer } from './redis-server.js';

/**
 * A Redis Cluster of one master that serves all slots: quick to start, for what a client does.
 * @param settings as on the command line
 */
export async function startOneMaster(settings: readonly string[] = []): Promise<RedisServer> {
  const itself = ['--cluster-enabled', 'yes', '--cluster-announce-ip', host];
  const server = await RedisServer.start([...itself, ...settings]);
  const admin = server.client();
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await eventually('all slots are served', async () => {
    return reader(String(await admin.call('CLUSTER', 'INFO')))('cluster_state') === 'ok';
  });
  admin.disconnect();
  return server;
}
