import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, onFreePorts } from './free-port.js';

export type Direction = 'requests' | 'replies';

/** Two sockets, one to the client and one to the server, and what flows between them. */
export interface Link {
  /** Whether the client has subscribed to a channel on it. */
  readonly subscribed: boolean;
}

/** Which links a fault befalls; all of them unless said otherwise. */
export type LinkFilter = (link: Link) => boolean;

const everyLink: LinkFilter = () => true;

/** The link on which a process is told of its grants. */
export const subscriberLink: LinkFilter = (link) => link.subscribed;

/** How one direction of a link behaves. */
interface Flow {
  drop: boolean;
  hold: boolean;
  /** Milliseconds that each chunk is late. */
  delay: number;
}

/** A network between clients and a server on 127.0.0.1 that fails as a test wants it to. */
export class TcpProxy {
  readonly #links = new Set<ProxyLink>();
  #faults: { direction: Direction; which: LinkFilter; flow: Partial<Flow> }[] = [];
  /** How many links there have been. */
  links = 0;

  private constructor(
    private target: number,
    readonly port: number,
    private readonly server: Server,
  ) {}

  /** @param target the server's port */
  static start(target: number): Promise<TcpProxy> {
    return onFreePorts(async () => {
      const server = createServer();
      const proxy = new TcpProxy(target, await freePort(), server);
      server.on('connection', (client) => {
        proxy.#link(client);
      });
      await proxy.admit();
      return proxy;
    });
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** New links lead to another server; those there are stay where they are, as behind a load balancer. */
  lead(target: number): void {
    this.target = target;
  }

  /** The links there are now, and none that come later. */
  present(): LinkFilter {
    const present = new Set<Link>(this.#links);
    return (link) => present.has(link);
  }

  /** How many links there are now. */
  count(which = everyLink): number {
    return [...this.#links].filter(which).length;
  }

  /** Resets the links there are now; new ones are admitted. */
  cut(which = everyLink): void {
    for (const link of this.#links) {
      if (!which(link)) continue;
      this.#links.delete(link);
      link.destroy();
    }
  }

  /** Cuts everything, and refuses new links until {@link admit}. */
  async refuse(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.cut();
    await closed;
  }

  async admit(): Promise<void> {
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
  }

  /** Bytes of this direction are lost from now on, on present and future links. */
  drop(direction: Direction, which = everyLink): void {
    this.#befall({ direction, which, flow: { drop: true } });
  }

  /** Bytes of this direction wait until {@link restore}. */
  hold(direction: Direction, which = everyLink): void {
    this.#befall({ direction, which, flow: { hold: true } });
  }

  /** How many chunks of this direction wait now. */
  held(direction: Direction): number {
    return [...this.#links].reduce((sum, link) => sum + link.held[direction], 0);
  }

  /** Bytes of this direction arrive so many milliseconds late. */
  delay(direction: Direction, ms: number, which = everyLink): void {
    this.#befall({ direction, which, flow: { delay: ms } });
  }

  /** Ends all faults of flow. What was lost stays lost; what was held arrives now. */
  restore(): void {
    this.#faults = [];
  }

  async stop(): Promise<void> {
    if (this.server.listening) await this.refuse();
  }

  #befall(fault: { direction: Direction; which: LinkFilter; flow: Partial<Flow> }): void {
    this.#faults.push(fault);
  }

  #link(client: Socket): void {
    const link = new ProxyLink(client, connect(this.target, '127.0.0.1'), (direction) => {
      const flow: Flow = { drop: false, hold: false, delay: 0 };
      for (const fault of this.#faults) {
        if (fault.direction === direction && fault.which(link)) Object.assign(flow, fault.flow);
      }
      return flow;
    });
    this.links++;
    this.#links.add(link);
    link.whenClosed(() => this.#links.delete(link));
  }
}

class ProxyLink implements Link {
  subscribed = false;
  readonly held: Record<Direction, number> = { requests: 0, replies: 0 };

  constructor(
    private readonly client: Socket,
    private readonly server: Socket,
    private readonly flow: (direction: Direction) => Flow,
  ) {
    this.#pump('requests', client, server);
    this.#pump('replies', server, client);
  }

  whenClosed(listener: () => void): void {
    this.client.once('close', listener);
  }

  destroy(): void {
    this.client.resetAndDestroy();
    this.server.resetAndDestroy();
  }

  #pump(direction: Direction, from: Socket, to: Socket): void {
    let before = Promise.resolve();
    from.setNoDelay();
    from.on('error', () => undefined);
    from.on('data', (chunk: Buffer) => {
      if (direction === 'requests' && /\bs?subscribe\b/i.test(chunk.toString('latin1'))) {
        this.subscribed = true;
      }
      const { drop, delay } = this.flow(direction);
      if (drop) return;
      const due = performance.now() + delay;
      before = before.then(() => this.#deliver(direction, chunk, to, due));
    });
    // What was on its way arrives even if its sender has gone.
    from.on('close', () => void before.then(() => to.destroySoon()));
  }

  async #deliver(direction: Direction, chunk: Buffer, to: Socket, due: number): Promise<void> {
    const late = due - performance.now();
    if (late > 0) await sleep(late);
    this.held[direction]++;
    while (this.flow(direction).hold && !to.destroyed) await sleep(2);
    this.held[direction]--;
    if (!to.destroyed) to.write(chunk);
  }
}
