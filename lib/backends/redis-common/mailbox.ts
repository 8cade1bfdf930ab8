import { within } from '../../clock.js';
import { messageOf } from '../../errors/shown.js';
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
  listen(channel: string, listener: Listener): void;
  /**
   * A message to this process is on its way. If the one before has not come, makes sure that it still
   * hears: a connection that only listens may die without a word.
   */
  expect(channel: string): void;
  close(): void;
}

/** `ordinary`: by PUBLISH; `sharded`: by SPUBLISH; `broadcast`: by PUBLISH on a Cluster. See scripts/_tell.lua. */
export type Delivery = 'ordinary' | 'sharded' | 'broadcast';

/** A mailbox on one connection of its own. */
export class SubscriberMailbox implements Mailbox {
  readonly delivery = 'ordinary';
  readonly #listeners = new Map<string, Listener>();
  readonly #expected = new Set<string>();
  #closed = false;

  constructor(
    private readonly subscriber: RedisClient,
    private readonly patience: number,
    private readonly warn: (message: string) => void,
  ) {
    subscriber.on('message', (channel: string, message: string) => {
      this.#expected.delete(channel);
      this.#listeners.get(channel)?.hear(message);
    });
    subscriber.on('error', () => undefined);
    subscriber.on('ready', () => {
      for (const channel of this.#listeners.keys()) void this.#subscribe(channel);
    });
    // What goes wrong shows in its events, and it tries again by itself.
    subscriber.connect().catch(() => undefined);
  }

  opened(): Promise<void> {
    return Promise.resolve();
  }

  listen(channel: string, listener: Listener): void {
    this.#listeners.set(channel, listener);
    if (this.subscriber.status === 'ready') void this.#subscribe(channel);
  }

  expect(channel: string): void {
    // While it is not connected, it is about to subscribe.
    if (this.#expected.has(channel) && this.subscriber.status === 'ready') this.#probe(channel);
    this.#expected.add(channel);
  }

  close(): void {
    this.#closed = true;
    this.subscriber.disconnect();
  }

  /** Subscribes again, which changes nothing and needs no right but the one we have. */
  #probe(channel: string): void {
    within(this.patience, this.subscriber.subscribe(channel)).then(
      (answer) => {
        if (answer === undefined && !this.#closed) this.subscriber.disconnect(true);
      },
      // It is reconnecting already.
      () => undefined,
    );
  }

  async #subscribe(channel: string): Promise<void> {
    try {
      await this.subscriber.subscribe(channel);
    } catch (error) {
      if (this.#closed || isPassing(error)) return;
      this.warn(
        `Cannot subscribe to ${channel}, so waiters learn of their grants late: ` +
          `${messageOf(error)}. See the minimal ACL in the README.`,
      );
      return;
    }
    this.#listeners.get(channel)?.listening(false);
  }
}
