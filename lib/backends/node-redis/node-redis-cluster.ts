import { within } from '../../time/clock.js';
import type { ClusterClient } from '../redis/cluster-client.js';
import { mapped, type AddressMap } from './address-map.js';
import { ClusterNode } from './cluster-node.js';
import { readSlots, type ClusterSlots } from './cluster-slots.js';
import { ConnectionStates } from './connection-states.js';
import { askOnce } from './link.js';
import { openClient, type NodeRedisOptions } from './node-redis-client.js';

/** How long one node may take to tell the map before another one is asked, in milliseconds. */
const MAP_PATIENCE = 1_000;

const ASK = ['CLUSTER', 'SLOTS'];

/** What we read of the options of a Cluster client. */
export interface ClusterOptions {
  readonly rootNodes: readonly NodeRedisOptions[];
  readonly defaults?: NodeRedisOptions | undefined;
  readonly nodeAddressMap?: AddressMap | undefined;
  readonly keyPrefix?: string | Buffer | undefined;
}

/**
 * The connections to the masters of a Cluster, as the rest of this package knows them. The Cluster client
 * of node-redis is not used: it follows redirections by itself, and moves what it has not sent yet from
 * one node to another.
 */
export class NodeRedisCluster extends ConnectionStates implements ClusterClient {
  slots: ClusterSlots = [];
  /** By what the map calls them, as `host:port`. */
  readonly #nodes = new Map<string, ClusterNode>();
  #refreshing: Promise<void> | undefined;
  /** What went wrong last with the connection to a master. */
  #failure: Error | undefined;

  constructor(
    private readonly options: ClusterOptions,
    private readonly silence: number,
  ) {
    super(true);
  }

  nodes(_role: 'master'): readonly ClusterNode[] {
    return [...this.#nodes.values()];
  }

  refreshSlotsCache(done: (error?: Error) => void): void {
    this.#refresh().then(() => {
      done();
    }, done);
  }

  async info(section: string): Promise<string> {
    const [node] = this.#ready();
    if (node === undefined) throw new Error('not connected');
    return node.info(section);
  }

  protected override async open(): Promise<void> {
    await this.#refresh();
    if (this.#ready().length > 0) return;
    throw this.#failure ?? new Error('no connection to any master of the Cluster');
  }

  protected override drop(): void {
    for (const node of this.#nodes.values()) node.disconnect();
  }

  #ready(): ClusterNode[] {
    return [...this.#nodes.values()].filter(({ status }) => status === 'ready');
  }

  /** Looks at the map, and resolves when each master is connected to, or could not be. */
  #refresh(): Promise<void> {
    this.#refreshing ??= this.#follow().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #follow(): Promise<void> {
    const slots = await this.#askForSlots();
    if (this.status === 'end') return;
    this.slots = slots;
    const masters = new Set(slots.map((nodes) => nodes?.[0]));
    for (const [name, node] of this.#nodes) if (!masters.has(name)) node.disconnect();
    const connecting: Promise<void>[] = [];
    for (const name of masters) {
      if (name !== undefined && !this.#nodes.has(name)) connecting.push(this.#connect(name));
    }
    await Promise.all(connecting);
    this.emit('refresh');
  }

  async #connect(name: string): Promise<void> {
    const { defaults = {}, nodeAddressMap } = this.options;
    const colon = name.lastIndexOf(':');
    const address = { host: name.slice(0, colon), port: Number(name.slice(colon + 1)) };
    const node = new ClusterNode(address, this.silence, () =>
      openClient(defaults, this.silence, mapped(address, nodeAddressMap)),
    );
    this.#nodes.set(name, node);
    node.on('error', (error: Error) => {
      this.#failure = error;
    });
    node.on('end', () => {
      this.#nodes.delete(name);
      this.emit('-node');
      if (this.status === 'ready' && this.#nodes.size === 0) this.over();
    });
    await node.connect();
  }

  /** Of whoever tells it first: those that are connected to are asked before the others. */
  async #askForSlots(): Promise<ClusterSlots> {
    let last: unknown;
    for (const node of this.#ready().sort(() => Math.random() - 0.5)) {
      try {
        return await this.#read(node.send(ASK));
      } catch (error) {
        last = error;
      }
    }
    for (const root of this.options.rootNodes) {
      try {
        return await this.#read(this.#askRoot(root));
      } catch (error) {
        last = error;
      }
    }
    throw last as Error;
  }

  async #read(asked: Promise<unknown>): Promise<ClusterSlots> {
    const answer = await within(Math.min(this.silence, MAP_PATIENCE), asked);
    if (answer === undefined)
      throw new Error('a node of the Cluster does not tell who has which slots');
    return readSlots(answer);
  }

  async #askRoot(root: NodeRedisOptions): Promise<unknown> {
    const { defaults } = this.options;
    const options = { ...defaults, ...root, socket: { ...defaults?.socket, ...root.socket } };
    return askOnce(openClient(options, this.silence), this.silence, ASK);
  }
}
