import { within } from '../../time/clock.js';
import { messageOf } from '../../text/shown.js';
import { Presence } from './presence.js';
import type { RedisClient } from './redis-client.js';
import { isPassing } from './redis-errors.js';

/**
 * How long the first requests of a process wait until it hears, in milliseconds: else it would learn late
 * that it was granted a lock, or that its lease was broken.
 */
export const FIRST_WORD = 200;

/** Who listens on a channel. */
export interface Listener {
  hear(message: string): void;
  /**
   * From now on it hears; what was published before, it may have missed.
   * @param elsewhere whether it may be another server, with another clock, than requests went to before
   */
  listening(elsewhere: boolean): void;
}

/** Where the messages to this process arrive. */
export interface Mailbox {
  /** How scripts send. */
  readonly delivery: Delivery;
  /** Waits until {@link delivery} is known. */
  opened(): Promise<void>;
  /** Returns whether it is heard there, as far as that is known. */
  listen(channel: string, listener: Listener): Presence;
  close(): void;
}

/** `ordinary`: by PUBLISH; `sharded`: by SPUBLISH. See scripts/_tell.lua. */
export type Delivery = 'ordinary' | 'sharded';

/** A mailbox on one connection of its own. */
export class SubscriberMailbox implements Mailbox {
  readonly delivery = 'ordinary';
  readonly #places = new Map<string, { listener: Listener; presence: Presence }>();
  #closed = false;

  constructor(
    private readonly subscriber: RedisClient,
    private readonly patience: number,
    private readonly warn: (message: string) => void,
  ) {
    subscriber.on('message', (channel: string, message: string) => {
      const place = this.#places.get(channel);
      place?.presence.hears();
      place?.listener.hear(message);
    });
    subscriber.on('error', () => undefined);
    subscriber.on('ready', () => {
      for (const channel of this.#places.keys()) void this.#subscribe(channel);
    });
    subscriber.on('close', () => {
      for (const { presence } of this.#places.values()) presence.isDeaf();
    });
    // What goes wrong shows in its events, and it tries again by itself.
    subscriber.connect().catch(() => undefined);
  }

  opened(): Promise<void> {
    return Promise.resolve();
  }

  listen(channel: string, listener: Listener): Presence {
    const presence = new Presence(
      {
        probe: () => {
          this.#probe(channel);
        },
        renew: () => {
          this.#renew();
        },
      },
      this.patience,
    );
    this.#places.set(channel, { listener, presence });
    if (this.subscriber.status === 'ready') void this.#subscribe(channel);
    return presence;
  }

  close(): void {
    this.#closed = true;
    this.subscriber.disconnect();
  }

  /** Subscribes again, which changes nothing and needs no right but the one we have. */
  #probe(channel: string): void {
    // While it is not connected, it is about to subscribe.
    if (this.subscriber.status !== 'ready') return;
    within(this.patience, this.subscriber.subscribe(channel)).then(
      (answer) => {
        if (answer === undefined) this.#renew();
      },
      // It is reconnecting already.
      () => undefined,
    );
  }

  #renew(): void {
    if (!this.#closed && this.subscriber.status === 'ready') this.subscriber.disconnect(true);
  }

  async #subscribe(channel: string): Promise<void> {
    try {
      await this.subscriber.subscribe(channel);
    } catch (error) {
      if (this.#closed || isPassing(error)) return;
      this.warn(
        `Cannot subscribe to ${channel}, so waiters learn of their grants late: ` +
          `${messageOf(error)}. See the minimal ACL in docs/backends/redis.md.`,
      );
      return;
    }
    const place = this.#places.get(channel);
    place?.presence.listens();
    place?.listener.listening(false);
  }
}
