import { EventEmitter } from 'node:events';
import { nextTick } from 'node:process';
import { pause } from '../../time/clock.js';
import { outsideOfContexts } from '../../time/timers.js';
import type { Connection } from '../redis-common/redis-client.js';

/** The longest pause before the next try to connect, in milliseconds. */
const LONGEST_PAUSE = 1_000;

/** What connects, and connects anew, with the states and the events of ioredis. */
export abstract class ConnectionStates implements Pick<Connection, 'status' | 'on' | 'once'> {
  readonly #events = new EventEmitter();
  #status: 'wait' | 'connecting' | 'ready' | 'close' | 'reconnecting' | 'end' = 'wait';
  /** What is under way is void when this has become another. */
  #attempt = {};
  #failures = 0;
  #closing = false;

  protected constructor(private readonly reconnects: boolean) {}

  get status(): string {
    return this.#status;
  }

  on(event: string, listener: (...args: never[]) => void): void {
    this.#events.on(event, listener as (...args: unknown[]) => void);
  }

  once(event: string, listener: (...args: never[]) => void): void {
    this.#events.once(event, listener as (...args: unknown[]) => void);
  }

  /** Never rejects: what comes of it is told by events. */
  async connect(): Promise<void> {
    if (this.#closing) return;
    const attempt = (this.#attempt = {});
    this.#status = 'connecting';
    try {
      await this.open(() => attempt === this.#attempt);
      if (attempt !== this.#attempt) return;
      this.#failures = 0;
      this.#become('ready');
    } catch (error) {
      if (attempt === this.#attempt) this.over(error as Error);
    }
  }

  disconnect(reconnect = false): void {
    if (this.#closing || (reconnect && this.#status === 'reconnecting')) return;
    this.#closing = !reconnect;
    this.over();
  }

  protected emit(event: string, ...args: readonly unknown[]): void {
    this.#events.emit(event, ...args);
  }

  /** Connects; rejects when that fails. What is not wanted any more when it is there is to be closed. */
  protected abstract open(wanted: () => boolean): Promise<void>;

  /** Closes what there is. */
  protected abstract drop(): void;

  /** @param error why; undefined when it was wanted */
  protected over(error?: Error): void {
    this.#attempt = {};
    this.drop();
    if (error !== undefined) this.emit('error', error);
    this.#become('close');
    if (this.#closing || !this.reconnects) this.#become('end');
    else outsideOfContexts(() => void this.#reconnect());
  }

  async #reconnect(): Promise<void> {
    this.#status = 'reconnecting';
    const longest = Math.min(50 * ++this.#failures, LONGEST_PAUSE);
    await pause(longest * (0.5 + Math.random() / 2));
    if (this.status === 'reconnecting') await this.connect();
  }

  /** Events come after what has led to them is done, as those of ioredis do. */
  #become(status: 'ready' | 'close' | 'end'): void {
    this.#status = status;
    nextTick(() => {
      this.emit(status);
    });
  }
}
