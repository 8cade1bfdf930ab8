import { Etcd3 } from 'etcd3';
import type { EtcdNetwork } from './etcd-network.js';
import { EtcdProcess } from './etcd-process.js';
import { eventually } from './eventually.js';
import { freePort, onFreePorts } from './free-port.js';

export interface EtcdMember {
  readonly name: string;
  readonly url: string;
  readonly process: EtcdProcess;
}

/** A real etcd cluster of three, of a test's own. */
export class EtcdCluster {
  private constructor(
    readonly members: readonly EtcdMember[],
    private readonly network: EtcdNetwork | undefined,
  ) {}

  /** @param network that is to stand between the members: all that they say to each other costs this process time */
  static start(network?: EtcdNetwork): Promise<EtcdCluster> {
    return onFreePorts(() => EtcdCluster.#startOnce(network));
  }

  static async #startOnce(network: EtcdNetwork | undefined): Promise<EtcdCluster> {
    const places = await Promise.all(
      ['one', 'two', 'three'].map(async (name) => {
        const [client, peer] = [await freePort(), await freePort()];
        const advertised = (await network?.join(name, peer)) ?? peer;
        return { name, client, peer, advertised };
      }),
    );
    const local = (port: number) => `http://127.0.0.1:${port}`;
    const all = places.map(({ name, advertised }) => `${name}=${local(advertised)}`).join();
    const members = await Promise.all(
      places.map(async ({ name, client, peer, advertised }) => {
        const url = local(client);
        const process = await EtcdProcess.prepare([
          ...['--name', name, '--initial-cluster', all],
          ...['--listen-client-urls', url, '--advertise-client-urls', url],
          ...['--listen-peer-urls', local(peer)],
          ...['--initial-advertise-peer-urls', local(advertised)],
          ...['--heartbeat-interval', '50', '--election-timeout', '500'],
        ]);
        return { name, url, process };
      }),
    );
    const cluster = new EtcdCluster(members, network);
    try {
      await Promise.all(members.map(({ process }) => process.launch()));
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get urls(): string[] {
    return this.members.map(({ url }) => url);
  }

  /** A plain client for the test's own questions; the test closes it. */
  client(hosts: string | string[] = this.urls): Etcd3 {
    return new Etcd3({ hosts });
  }

  /** Waits until there is a leader that one of `asked` knows of. */
  async leader(asked: readonly EtcdMember[] = this.members): Promise<EtcdMember> {
    let leader: EtcdMember | undefined;
    await eventually('a leader', async () => {
      for (const { url } of asked) {
        leader ??= await this.#leaderSeenBy(url);
      }
      return leader !== undefined;
    });
    return leader!;
  }

  /** A member that does not lead. */
  async follower(): Promise<EtcdMember> {
    const leader = await this.leader();
    return this.members.find((member) => member !== leader)!;
  }

  /** Cuts the network between this member and the others; clients still reach it. */
  async cutOff(member: EtcdMember): Promise<void> {
    if (this.network === undefined) throw new Error('no network stands between the members');
    const id = await this.#idOf(member);
    this.network.cutOff(member.name, id);
  }

  restore(): void {
    this.network?.restore();
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map(({ process }) => process.stop()));
    this.network?.stop();
  }

  async #idOf({ url }: EtcdMember): Promise<string> {
    const client = this.client(url);
    const { header } = await client.maintenance.status();
    client.close();
    return BigInt(header.member_id).toString(16);
  }

  async #leaderSeenBy(url: string): Promise<EtcdMember | undefined> {
    const client = this.client(url);
    try {
      const options = { deadline: Date.now() + 500 };
      const { leader } = await client.maintenance.status(options);
      const { members } = await client.cluster.memberList({}, options);
      const name = members.find(({ ID }) => ID === leader)?.name;
      return this.members.find((member) => member.name === name);
    } catch {
      return undefined;
    } finally {
      client.close();
    }
  }
}
