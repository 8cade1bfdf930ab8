import { pause, within } from '../../clock.js';
import { messageOf } from '../../errors/shown.js';
import type { ClusterClient } from './cluster-client.js';
import type { Delivery, Listener, Mailbox } from './mailbox.js';
import { ownOptions, type RedisClient } from './redis-client.js';
import { isPassing, isReply } from './redis-errors.js';

/** The first version with sharded channels. */
const SHARDED_FROM = 7;

/** At most so long until a channel that has no place is tried again, in milliseconds. */
const LONGEST_PAUSE = 500;

/** A connection that only listens, to one node. */
interface Subscriber {
  readonly client: RedisClient;
  /** Whether it came about. */
  readonly ready: Promise<boolean>;
}

/** A channel, and where this process listens on it. */
interface Place {
  readonly channel: string;
  readonly listener: Listener;
  slot: number | undefined;
  /** The node at which it is subscribed, or about to be, as `host:port`. */
  node: string | undefined;
  seeking: boolean;
}

/**
 * A mailbox on a Redis Cluster: with sharded channels (7.0 or newer) on one connection to each node
 * that has some of our channels' slots; else with ordinary ones on the one connection that the
 * client keeps for them.
 */
export class ClusterMailbox implements Mailbox {
  #delivery: Delivery | undefined;
  #opening: Promise<void> | undefined;
  readonly #places = new Map<string, Place>();
  /** By node, as `host:port`. */
  readonly #subscribers = new Map<string, Subscriber>();
  #closed = false;

  constructor(
    private readonly cluster: ClusterClient,
    private readonly patience: number,
    private readonly warn: (message: string) => void,
  ) {
    cluster.on('message', (channel: string, message: string) => {
      this.#places.get(channel)?.listener.hear(message);
    });
    cluster.on('refresh', () => {
      this.#follow();
    });
  }

  get delivery(): Delivery {
    return this.#delivery ?? 'broadcast';
  }

  /** Waits until it is known how this Cluster delivers. */
  async opened(): Promise<void> {
    if (this.#delivery !== undefined) return;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  listen(channel: string, listener: Listener): void {
    const place = { channel, listener, slot: undefined, node: undefined, seeking: false };
    this.#places.set(channel, place);
    void this.#seek(place);
  }

  probe(channel: string): void {
    const place = this.#places.get(channel);
    if (place !== undefined) void this.#seek(place);
  }

  close(): void {
    this.#closed = true;
    for (const { client } of this.#subscribers.values()) client.disconnect();
  }

  async #open(): Promise<void> {
    const info = await within(this.patience, this.cluster.info('server'));
    const version = /^redis_version:(\d+)/m.exec(info ?? '')?.[1];
    if (version === undefined) throw new Error('Redis did not tell its version');
    this.#delivery = Number(version) < SHARDED_FROM ? 'broadcast' : 'sharded';
  }

  /** The slots may have moved: those who listen move with them. */
  #follow(): void {
    for (const place of this.#places.values()) {
      const { node, slot } = place;
      if (slot !== undefined && node !== this.#nodeOf(slot)) void this.#seek(place);
    }
    const needed = new Set([...this.#places.values()].map(({ node }) => node));
    for (const [node, { client }] of this.#subscribers) {
      if (needed.has(node)) continue;
      this.#subscribers.delete(node);
      client.disconnect();
    }
  }

  /** Subscribes, at the node that has the channel's slot; again and again until that is done. */
  async #seek(place: Place): Promise<void> {
    if (place.seeking) return;
    place.seeking = true;
    for (let longest = 20; !this.#closed; longest = Math.min(2 * longest, LONGEST_PAUSE)) {
      try {
        const before = place.node;
        await this.#subscribe(place);
        // Subscribing again where it is already changes nothing.
        if (before !== place.node || longest > 20) place.listener.listening();
        break;
      } catch (error) {
        place.node = undefined;
        if (this.#closed) break;
        if (!isPassing(error)) {
          this.warn(
            `Cannot subscribe to ${place.channel}, so waiters learn of their grants late: ` +
              `${messageOf(error)}. See the minimal ACL in the README.`,
          );
          break;
        }
        if (/\bMOVED\b/.test(String(error))) this.cluster.refreshSlotsCache();
      }
      await pause(longest * Math.random());
    }
    place.seeking = false;
  }

  async #subscribe(place: Place): Promise<void> {
    await this.opened();
    if (this.#delivery === 'broadcast') {
      await this.#answered(this.cluster.subscribe(place.channel));
      place.node = 'any';
      return;
    }
    place.slot ??= Number(await this.#answered(this.cluster.cluster('KEYSLOT', place.channel)));
    const node = this.#nodeOf(place.slot);
    const subscriber = node && (this.#subscribers.get(node) ?? this.#connect(node));
    if (!subscriber) throw new Error('the node of the slot is not known');
    place.node = node;
    const { client, ready } = subscriber;
    if (!(await within(this.patience, ready))) throw new Error('no connection to the node');
    try {
      await this.#answered(client.ssubscribe(place.channel));
    } catch (error) {
      // Only a new connection tells more of a node that does not answer.
      if (!isReply(error)) client.disconnect();
      throw error;
    }
  }

  #nodeOf(slot: number): string | undefined {
    return this.cluster.slots[slot]?.[0];
  }

  #connect(node: string): Subscriber | undefined {
    const known = this.cluster.nodes('master').find(({ options: { host, port } }) => {
      return `${host}:${port}` === node;
    });
    if (known === undefined) return undefined;
    const own = { ...ownOptions(this.patience), socketTimeout: undefined, retryStrategy: null };
    const client = known.duplicate(own) as RedisClient;
    const ready = new Promise<boolean>((resolve) => {
      client.once('ready', () => {
        resolve(true);
      });
      client.once('end', () => {
        resolve(false);
      });
    });
    const subscriber = { client, ready };
    this.#subscribers.set(node, subscriber);
    client.on('smessage', (channel: string, message: string) => {
      this.#places.get(channel)?.listener.hear(message);
    });
    client.on('error', () => undefined);
    client.on('end', () => {
      if (this.#subscribers.get(node) === subscriber) this.#subscribers.delete(node);
      for (const place of this.#places.values()) {
        if (place.node !== node) continue;
        place.node = undefined;
        void this.#seek(place);
      }
    });
    // What goes wrong shows in its events.
    client.connect().catch(() => undefined);
    return subscriber;
  }

  async #answered<T>(reply: Promise<T>): Promise<T> {
    const answer = await within(
      this.patience,
      reply.then((value) => ({ value })),
    );
    if (answer === undefined) throw new Error(`no reply within ${this.patience} ms`);
    return answer.value;
  }
}
