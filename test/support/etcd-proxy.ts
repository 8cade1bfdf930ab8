import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Etcd3 } from 'etcd3';
import { eventually } from './eventually.js';
import { freePort } from './free-port.js';

/** `etcd grpc-proxy` before a server: it joins watches of many clients, and names them itself. */
export class EtcdProxy {
  private constructor(
    readonly url: string,
    private readonly child: ChildProcess,
  ) {}

  static async start(server: string): Promise<EtcdProxy> {
    const address = `127.0.0.1:${await freePort()}`;
    const [endpoint] = server.split('//').slice(1);
    const line = ['grpc-proxy', 'start', '--endpoints', endpoint!, '--listen-addr', address];
    const child = spawn('etcd', line, { stdio: 'ignore' });
    const proxy = new EtcdProxy(`http://${address}`, child);
    const client = new Etcd3({ hosts: proxy.url });
    try {
      const answers = () =>
        client.get('k').then(
          () => true,
          () => false,
        );
      await eventually('the proxy serves', answers);
    } catch (error) {
      await proxy.stop();
      throw error;
    } finally {
      client.close();
    }
    return proxy;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}
