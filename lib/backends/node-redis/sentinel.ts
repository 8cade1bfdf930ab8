import { messageOf } from '../../text/shown.js';
import { askOnce } from './link.js';
import {
  openClient,
  type Address,
  type NodeRedisClient,
  type NodeRedisOptions,
} from './node-redis-client.js';
import { mapped, type AddressMap } from './address-map.js';

/** What we read of the options of a Sentinel client. */
export interface SentinelOptions {
  readonly name: string;
  readonly sentinelRootNodes: readonly Address[];
  readonly nodeClientOptions?: NodeRedisOptions | undefined;
  readonly sentinelClientOptions?: NodeRedisOptions | undefined;
  readonly nodeAddressMap?: AddressMap | undefined;
  readonly keyPrefix?: string | Buffer | undefined;
}

/**
 * Makes clients of whatever server Sentinel calls the master now. The Sentinel client of node-redis is not
 * used: it sends what has failed once more, to another server, which is for those to decide who know what
 * it means.
 */
export class SentinelMaster {
  /** The one that answered last comes first. */
  #sentinels: readonly Address[];

  constructor(
    private readonly options: SentinelOptions,
    private readonly silence: number,
  ) {
    this.#sentinels = options.sentinelRootNodes;
  }

  async open(): Promise<NodeRedisClient> {
    const { name, nodeAddressMap, nodeClientOptions = {} } = this.options;
    let last = '';
    for (const sentinel of this.#sentinels) {
      try {
        const master = await this.#masterBy(sentinel);
        this.#sentinels = [sentinel, ...this.#sentinels.filter((other) => other !== sentinel)];
        return openClient(nodeClientOptions, this.silence, mapped(master, nodeAddressMap));
      } catch (error) {
        last = messageOf(error);
      }
    }
    throw new Error(`no sentinel tells the master ${name}: ${last}`);
  }

  async #masterBy(sentinel: Address): Promise<Address> {
    const { sentinelClientOptions = {}, name } = this.options;
    const client = openClient(sentinelClientOptions, this.silence, sentinel);
    const command = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name];
    const answer = (await askOnce(client, this.silence, command)) as [string, string] | null;
    if (answer === null) throw new Error('it does not know it');
    return { host: answer[0], port: Number(answer[1]) };
  }
}
