import type { RedisClient } from '../redis-common/redis-client.js';
import { ConnectionStates } from './connection-states.js';
import { Link, type MessageEvent } from './link.js';
import type { NodeRedisClient } from './node-redis-client.js';

export interface NodeRedisConnectionContext {
  /** Makes a client that is not yet connected, of the server to connect to now. */
  readonly open: () => NodeRedisClient | Promise<NodeRedisClient>;
  /** When to give up a server that does not answer, in milliseconds. */
  readonly silence: number;
  /** Whether it is made anew after its end. */
  readonly reconnects: boolean;
}

/**
 * A connection of node-redis, as the rest of this package knows connections. Each time it connects, that
 * is a {@link Link} of its own: so a command is sent on the connection that it was meant for, or never.
 */
export class NodeRedisConnection extends ConnectionStates implements RedisClient {
  #link: Link | undefined;

  constructor(private readonly context: NodeRedisConnectionContext) {
    super(context.reconnects);
  }

  call(command: 'evalsha' | 'eval', args: (string | number)[]): Promise<unknown> {
    return this.send([command.toUpperCase(), ...args.map(String)]);
  }

  async scan(
    cursor: string,
    match: 'MATCH',
    pattern: string,
    count: 'COUNT',
    keys: number,
  ): Promise<[cursor: string, names: string[]]> {
    const page = await this.send(['SCAN', cursor, match, pattern, count, String(keys)]);
    return page as [cursor: string, names: string[]];
  }

  async info(section: string): Promise<string> {
    return (await this.send(['INFO', section])) as string;
  }

  async wait(replicas: number, ms: number): Promise<number> {
    return (await this.send(['WAIT', String(replicas), String(ms)])) as number;
  }

  async subscribe(channel: string): Promise<true> {
    return this.#ready().listen('message', channel);
  }

  async ssubscribe(channel: string): Promise<true> {
    return this.#ready().listen('smessage', channel);
  }

  /** Sends a command now, or fails. */
  async send(args: readonly string[]): Promise<unknown> {
    return this.#ready().send(args);
  }

  protected override async open(wanted: () => boolean): Promise<void> {
    const client = await this.context.open();
    if (!wanted()) return;
    this.#link = this.#linkTo(client);
    await this.#link.connect();
  }

  protected override drop(): void {
    this.#link?.close();
    this.#link = undefined;
  }

  #ready(): Link {
    if (this.status !== 'ready' || this.#link === undefined) throw new Error('not connected');
    return this.#link;
  }

  #linkTo(client: NodeRedisClient): Link {
    const link: Link = new Link({
      client,
      silence: this.context.silence,
      lost: (error) => {
        if (link === this.#link) this.over(error);
      },
      hear: (event: MessageEvent, channel, message) => {
        if (link === this.#link) this.emit(event, channel, message);
      },
      moved: () => {
        if (link === this.#link) this.emit('moved');
      },
    });
    return link;
  }
}
