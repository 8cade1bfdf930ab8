import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** How a member says who it is, in the first lines of what it sends to another. */
const SENDER = /^X-Server-From: (\w+)/im;

interface PeerLink {
  readonly to: string;
  /** The id of the member that opened it, in hex; known from its first bytes. */
  from: string;
  readonly sockets: readonly [Socket, Socket];
}

/**
 * The network between the members of an etcd cluster, of which any can be cut off from the others. It
 * does not keep this process running: members connect anew when they like, also while a test counts what does.
 */
export class EtcdNetwork {
  readonly #servers: Server[] = [];
  readonly #links = new Set<PeerLink>();
  /** By name and by id. */
  readonly #cutOff = new Set<string>();

  /** The port at which the others reach this member, which listens at `target`. */
  async join(name: string, target: number): Promise<number> {
    const server = createServer((client) => {
      this.#link(name, client, connect(target, '127.0.0.1'));
    }).listen(0, '127.0.0.1');
    server.unref();
    await once(server, 'listening');
    this.#servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  /** Nothing goes to this member or comes from it any more. @param id in hex */
  cutOff(name: string, id: string): void {
    this.#cutOff.add(name).add(id);
    for (const link of this.#links) this.#admit(link);
  }

  restore(): void {
    this.#cutOff.clear();
  }

  stop(): void {
    for (const server of this.#servers) server.close();
    for (const link of this.#links) destroy(link);
  }

  #link(to: string, client: Socket, member: Socket): void {
    const link: PeerLink = { to, from: '', sockets: [client, member] };
    this.#links.add(link);
    for (const [from, other] of [
      [client, member],
      [member, client],
    ] as const) {
      from.unref();
      from.on('error', () => undefined);
      from.on('close', () => {
        other.destroy();
        this.#links.delete(link);
      });
    }
    client.on('data', (chunk) => {
      link.from = SENDER.exec(chunk.toString('latin1'))?.[1] ?? link.from;
      if (this.#admit(link)) member.write(chunk);
    });
    member.on('data', (chunk) => {
      if (this.#admit(link)) client.write(chunk);
    });
  }

  #admit(link: PeerLink): boolean {
    if (!this.#cutOff.has(link.to) && !this.#cutOff.has(link.from)) return true;
    destroy(link);
    return false;
  }
}

function destroy({ sockets }: PeerLink): void {
  for (const socket of sockets) socket.destroy();
}
