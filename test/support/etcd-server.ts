import { Etcd3, type IOptions } from 'etcd3';
import { EtcdProcess } from './etcd-process.js';
import { freePort } from './free-port.js';

export interface EtcdServerOptions {
  /** As on the command line: `'--max-txn-ops', '256'`. */
  readonly settings?: readonly string[];
  readonly secure?: boolean;
}

/** A real etcd of one member, of a test's own, on ports of the system's choosing. */
export class EtcdServer {
  private constructor(
    readonly url: string,
    private readonly process: EtcdProcess,
  ) {}

  static async start({
    settings = [],
    secure = false,
  }: EtcdServerOptions = {}): Promise<EtcdServer> {
    const port = await freePort();
    const url = secure ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
    const listen = url.replace('localhost', '127.0.0.1');
    const peer = `http://127.0.0.1:${await freePort()}`;
    const process = await EtcdProcess.prepare([
      ...['--listen-client-urls', listen, '--advertise-client-urls', url],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', `default=${peer}`],
      ...['--heartbeat-interval', '50', '--election-timeout', '500'],
      ...settings,
    ]);
    try {
      await process.launch();
    } catch (error) {
      await process.stop();
      throw error;
    }
    return new EtcdServer(url, process);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** A plain client for the test's own questions; the test closes it. */
  client(options: Omit<IOptions, 'hosts'> = {}): Etcd3 {
    return new Etcd3({ hosts: this.url, ...options });
  }

  freeze(): void {
    this.process.freeze();
  }

  thaw(): void {
    this.process.thaw();
  }

  /** Its data outlive it; {@link launch} starts it again with them. */
  kill(): Promise<void> {
    return this.process.kill();
  }

  launch(): Promise<void> {
    return this.process.launch();
  }

  stop(): Promise<void> {
    return this.process.stop();
  }
}
