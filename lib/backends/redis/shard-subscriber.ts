import { within } from '../../time/clock.js';
import type { Delivery } from '../redis-common/mailbox.js';
import type { RedisClient } from '../redis-common/redis-client.js';

export interface ShardSubscriberContext {
  /** Not yet connected, and never reconnecting: after its end the map of the Cluster says where to go. */
  readonly client: RedisClient;
  /** The node that it listens to, as `host:port`. */
  readonly node: string;
  readonly delivery: Delivery;
  /** How long to wait for a reply, in milliseconds. */
  readonly patience: number;
  readonly hear: (channel: string, message: string) => void;
  /** It may not listen any more on some of its channels: their slots have moved, or it has ended. */
  readonly deaf: (subscriber: ShardSubscriber) => void;
}

/** A connection to one node of a Cluster that only listens. */
export class ShardSubscriber {
  readonly node: string;
  /** Whether the connection came about. */
  readonly #ready: Promise<boolean>;
  /** Tells those who subscribe right now that a slot has moved: ioredis 5 does not answer them then. */
  readonly #subscribing = new Set<(moved: 'moved') => void>();
  #closing = false;
  #ended = false;

  constructor(private readonly context: ShardSubscriberContext) {
    const { client, delivery, hear, node, deaf } = context;
    this.node = node;
    this.#ready = new Promise((resolve) => {
      client.once('ready', () => {
        resolve(true);
      });
      client.once('end', () => {
        resolve(false);
      });
    });
    client.on(delivery === 'sharded' ? 'smessage' : 'message', hear);
    client.on('moved', () => {
      for (const tell of this.#subscribing) tell('moved');
      deaf(this);
    });
    // To ioredis 5 it is an error when the server says that a slot has moved, and its replies are mixed up then.
    client.on('error', () => {
      this.close();
    });
    client.on('end', () => {
      this.#ended = true;
      deaf(this);
    });
    // What goes wrong shows in its events.
    client.connect().catch(() => undefined);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Rejects when the node does not answer, or does not have the channel's slot. Once more changes nothing. */
  async subscribe(channel: string): Promise<void> {
    const { client, delivery, patience } = this.context;
    if (!(await within(patience, this.#ready))) {
      this.close();
      throw new Error(`no connection to ${this.node}`);
    }
    let tell!: (moved: 'moved') => void;
    const moved = new Promise<'moved'>((resolve) => {
      tell = resolve;
    });
    this.#subscribing.add(tell);
    const reply = delivery === 'sharded' ? client.ssubscribe(channel) : client.subscribe(channel);
    try {
      const answer = await within(patience, Promise.race([reply, moved]));
      if (answer === 'moved') throw new Error('the slot has moved');
      if (answer === undefined) {
        // Only a new connection tells more of a node that does not answer.
        this.close();
        throw new Error(`no reply within ${patience} ms`);
      }
    } finally {
      this.#subscribing.delete(tell);
    }
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.context.client.disconnect();
  }
}
