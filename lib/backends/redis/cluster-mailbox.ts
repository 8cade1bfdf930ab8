import { pause, within } from '../../time/clock.js';
import { messageOf } from '../../text/shown.js';
import type { ClusterClient, ClusterNode } from './cluster-client.js';
import type { ClusterRouter } from './cluster-router.js';
import { slotOf } from '../redis-common/cluster-slot.js';
import type { Delivery, Listener, Mailbox } from '../redis-common/mailbox.js';
import { Presence } from '../redis-common/presence.js';
import type { RedisClient } from '../redis-common/redis-client.js';
import { isPassing } from '../redis-common/redis-errors.js';
import { ShardSubscriber } from './shard-subscriber.js';

/** The first version with sharded channels. */
const SHARDED_FROM = 7;

/** At most so long until a channel that is heard nowhere is tried again, in milliseconds. */
const LONGEST_PAUSE = 500;

/** A channel, and where this process listens on it. */
interface Place {
  readonly channel: string;
  readonly listener: Listener;
  readonly presence: Presence;
  readonly slot: number;
  /** Where it is subscribed, or about to be. */
  at: ShardSubscriber | undefined;
  /** The node at which it was last listened to. */
  last: string | undefined;
  seeking: boolean;
}

/**
 * A mailbox on a Redis Cluster: one connection to each master that has slots of our channels, on
 * which each channel is listened to where its slot is. There the scripts publish, so that they
 * know how many heard it: of sharded channels (7.0 or newer), and of ordinary ones as well.
 */
export class ClusterMailbox<Node extends ClusterNode> implements Mailbox {
  #delivery: Delivery | undefined;
  #opening: Promise<void> | undefined;
  readonly #places = new Map<string, Place>();
  /** By node, as `host:port`. */
  readonly #subscribers = new Map<string, ShardSubscriber>();
  #warned = false;
  #closed = false;

  constructor(
    private readonly cluster: ClusterClient<Node>,
    private readonly router: ClusterRouter<Node>,
    /** Makes one more connection to a node, not yet connected, and never made anew. */
    private readonly openSubscriber: (node: Node) => RedisClient,
    private readonly patience: number,
    private readonly warn: (message: string) => void,
  ) {
    cluster.on('refresh', () => {
      this.#follow();
    });
  }

  get delivery(): Delivery {
    return this.#delivery ?? 'ordinary';
  }

  async opened(): Promise<void> {
    if (this.#delivery !== undefined) return;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  listen(channel: string, listener: Listener): Presence {
    const presence = new Presence(
      {
        // To subscribe again changes nothing where it is subscribed already.
        probe: () => void this.#seek(place),
        renew: () => {
          this.#renew(place);
        },
      },
      this.patience,
    );
    const place: Place = {
      ...{ channel, listener, presence, slot: slotOf(channel) },
      ...{ at: undefined, last: undefined, seeking: false },
    };
    this.#places.set(channel, place);
    void this.#seek(place);
    return presence;
  }

  close(): void {
    this.#closed = true;
    for (const subscriber of this.#subscribers.values()) subscriber.close();
  }

  async #open(): Promise<void> {
    const info = await within(this.patience, this.cluster.info('server'));
    const version = /^redis_version:(\d+)/m.exec(info ?? '')?.[1];
    if (version === undefined) throw new Error('Redis did not tell its version');
    this.#delivery = Number(version) < SHARDED_FROM ? 'ordinary' : 'sharded';
  }

  /** The map of the Cluster is new: who listens at the wrong node goes to the right one. */
  #follow(): void {
    const needed = new Set<string | undefined>();
    for (const place of this.#places.values()) {
      const node = this.router.nodeOf(place.slot);
      needed.add(node);
      if (place.at !== undefined && place.at.node !== node) void this.#seek(place);
    }
    for (const [node, subscriber] of this.#subscribers) {
      if (!needed.has(node)) subscriber.close();
    }
  }

  /** It is not counted where its slot is served: the map is old, or the connection leads elsewhere. */
  #renew(place: Place): void {
    const { at, slot } = place;
    place.at = undefined;
    if (at?.node === this.router.nodeOf(slot)) at?.close();
    void this.router.look();
    void this.#seek(place);
  }

  /** Subscribes, at the node that has the channel's slot; again and again until that is done. */
  async #seek(place: Place): Promise<void> {
    if (place.seeking) return;
    place.seeking = true;
    for (let longest = 20; !this.#closed; longest = Math.min(2 * longest, LONGEST_PAUSE)) {
      try {
        await this.#subscribe(place);
        break;
      } catch (error) {
        if (!isPassing(error)) {
          this.#warnOf(place, error);
          break;
        }
        void this.router.look();
      }
      await pause(longest * Math.random());
    }
    place.seeking = false;
  }

  async #subscribe(place: Place): Promise<void> {
    await this.opened();
    const before = place.at;
    const subscriber = this.#subscriberOf(place);
    // Early: what happens to it from now on concerns this place.
    place.at = subscriber;
    try {
      await subscriber.subscribe(place.channel);
      if (!this.#isRight(place, subscriber)) throw new Error('the slot has moved meanwhile');
    } catch (error) {
      place.at = undefined;
      place.presence.isDeaf();
      throw error;
    }
    if (before === subscriber) return;
    const elsewhere = place.last !== subscriber.node;
    place.last = subscriber.node;
    place.presence.listens();
    place.listener.listening(elsewhere);
  }

  /** Whether it still listens there, and should. */
  #isRight(place: Place, subscriber: ShardSubscriber): boolean {
    return place.at === subscriber && subscriber.node === this.router.nodeOf(place.slot);
  }

  #subscriberOf({ slot }: Place): ShardSubscriber {
    const node = this.router.nodeOf(slot) ?? 'nowhere';
    const known = this.#subscribers.get(node);
    if (known !== undefined) return known;
    const master = this.router.masterOf(slot);
    if (master === undefined || this.#closed) {
      throw new Error(`no master is known to have slot ${slot}`);
    }
    const subscriber = new ShardSubscriber({
      client: this.openSubscriber(master),
      node,
      delivery: this.delivery,
      patience: this.patience,
      hear: (channel, message) => {
        const place = this.#places.get(channel);
        place?.presence.hears();
        place?.listener.hear(message);
      },
      deaf: (one) => {
        this.#seekElsewhere(one);
      },
    });
    this.#subscribers.set(node, subscriber);
    return subscriber;
  }

  #seekElsewhere(subscriber: ShardSubscriber): void {
    if (this.#closed) return;
    if (subscriber.ended && this.#subscribers.get(subscriber.node) === subscriber) {
      this.#subscribers.delete(subscriber.node);
    }
    void this.router.look();
    for (const place of this.#places.values()) {
      if (place.at !== subscriber) continue;
      place.at = undefined;
      place.presence.isDeaf();
      void this.#seek(place);
    }
  }

  #warnOf({ channel }: Place, error: unknown): void {
    if (this.#closed || this.#warned) return;
    this.#warned = true;
    this.warn(
      `Cannot subscribe to ${channel}, so waiters learn of their grants late: ` +
        `${messageOf(error)}. See the minimal ACL in docs/backends/redis.md.`,
    );
  }
}
