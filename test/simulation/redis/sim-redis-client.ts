import { EventEmitter } from 'node:events';
import type { RedisClient } from '../../../lib/backends/redis-common/redis-client.js';
import type { Timeline } from '../clock/timeline.js';
import type { Connected, Network } from '../network.js';
import type { SimProcess } from '../sim-process.js';
import type { Message } from './real-redis.js';
import type { RedisNode, Subscriber } from './redis-node.js';

/** Where an address leads to now: another server may answer there later. */
export interface Address {
  readonly name: string;
  readonly node: RedisNode;
  /** Where clients ask first where it leads: that what they are told; undefined when they are told nothing. */
  find?(client: SimRedisClient, patience: number): Promise<RedisNode | undefined>;
}

export interface ClientOptions {
  host?: string | undefined;
  port?: number | undefined;
  /** Whether what is asked while it connects waits for that. */
  enableOfflineQueue?: boolean;
  connectTimeout?: number;
  socketTimeout?: number | undefined;
  /** Null where it is not made anew. */
  retryStrategy?: ((times: number) => number) | null;
  keyPrefix?: string;
}

/** What both ends of a connection know of it. */
class Link implements Subscriber {
  isOpen = true;
  readonly #starts: number;
  #lastUp = 0;
  #lastDown = 0;

  constructor(
    readonly node: RedisNode,
    private readonly client: SimRedisClient,
    private readonly network: Network,
    private readonly timeline: Timeline,
  ) {
    this.#starts = node.starts;
  }

  /** Something arrives at the server in the order in which it was sent, unless it is lost. */
  up(run: () => Promise<void>): void {
    if (this.network.loses(this.client, this.node, 'requests')) return;
    this.#lastUp = Math.max(this.#lastUp, this.timeline.now + this.network.delay());
    const arrive = (): void | Promise<void> => {
      if (this.node.isFrozen) this.timeline.at(this.node.frozenUntil, arrive);
      // On the way when the connection broke: carried out all the same, or lost.
      else if (this.isAlive && (this.isOpen || this.timeline.random.chance(0.5))) return run();
      else if (!this.isAlive && this.isOpen) {
        this.down(() => {
          this.client.breaks(this, 'read ECONNRESET');
        });
      }
    };
    this.timeline.at(this.#lastUp, arrive);
  }

  /** Something arrives at the client in the order in which it was sent, unless it is lost. */
  down(run: () => void): void {
    if (this.network.loses(this.client, this.node, 'replies')) return;
    this.#lastDown = Math.max(this.#lastDown, this.timeline.now + this.network.delay());
    this.client.process.at(this.#lastDown, () => {
      if (this.isOpen) run();
    });
  }

  deliver(message: Message): void {
    this.down(() => {
      this.client.hears();
      this.client.emit(message.kind, message.channel, message.text);
    });
  }

  moved(): void {
    this.down(() => {
      this.client.emit('moved');
    });
  }

  /** The server has not been started anew since. */
  get isAlive(): boolean {
    return this.#starts === this.node.starts;
  }

  /** The client knows that it is over; the server will. */
  end(): void {
    this.isOpen = false;
    this.timeline.in(this.network.halfOpen(), () => this.node.unsubscribe(this));
  }
}

/** A connection to a simulated server, with the words, states and events of ioredis. */
export class SimRedisClient
  extends EventEmitter
  implements Omit<RedisClient, 'on' | 'once'>, Connected
{
  status = 'wait';
  #link: Link | undefined;
  #attempts = 0;
  #attempt = {};
  readonly #pending = new Set<(error: Error) => void>();
  #silentSince = 0;

  constructor(
    readonly process: SimProcess,
    private readonly address: Address,
    private readonly network: Network,
    private readonly timeline: Timeline,
    readonly options: ClientOptions = {},
  ) {
    super();
    this.setMaxListeners(0);
    network.clients.add(this);
  }

  /** The user's own client: it is only duplicated. */
  duplicate(options: ClientOptions): SimRedisClient {
    const { process, address, network, timeline } = this;
    return new SimRedisClient(process, address, network, timeline, { ...options });
  }

  async connect(): Promise<void> {
    const attempt = (this.#attempt = {});
    this.status = 'connecting';
    const patience = this.options.connectTimeout ?? 10_000;
    const { address } = this;
    if (address.find === undefined) {
      this.#reach(address.node, attempt, patience);
      return;
    }
    const node = await address.find(this, patience);
    if (!this.#isConnecting(attempt)) return;
    if (node === undefined) this.#fails('All sentinels are unreachable.');
    else this.#reach(node, attempt, patience);
  }

  #reach(node: RedisNode, attempt: object, patience: number): void {
    const { address, process, network, timeline } = this;
    const isReached =
      !network.loses(this, node, 'requests') && !network.loses(this, node, 'replies');
    const most = timeline.now + patience;
    const ready = Math.max(node.frozenUntil, timeline.now + network.delay() + network.delay());
    const done = (run: () => void) => (): void => {
      if (this.#isConnecting(attempt)) run();
    };
    if (isReached && ready < most) {
      process.at(
        ready,
        done(() => {
          // Who was sent to a replica asks again.
          if (address.find !== undefined && node.isReplica) {
            this.#ends(true);
            return;
          }
          this.#link = new Link(node, this, network, timeline);
          this.#attempts = 0;
          this.status = 'ready';
          this.emit('connect');
          this.emit('ready');
        }),
      );
    } else {
      process.at(
        most,
        done(() => {
          this.#fails('connect ETIMEDOUT');
        }),
      );
    }
  }

  #isConnecting(attempt: object): boolean {
    return attempt === this.#attempt && this.status === 'connecting';
  }

  #fails(reason: string): void {
    this.emit('error', new Error(reason));
    this.#ends(true);
  }

  disconnect(again = false): void {
    if (this.status === 'end') return;
    this.#ends(again);
  }

  /** The network breaks it. */
  breaks(link = this.#link, reason = 'read ECONNRESET'): void {
    if (link === undefined || link !== this.#link) return;
    this.#fails(reason);
  }

  /** Its process died: the server notices, sooner or later. */
  dies(): void {
    this.#link?.end();
    this.network.clients.delete(this);
  }

  hears(): void {
    this.#silentSince = this.timeline.now;
  }

  async call(command: string, args: readonly (string | number)[]): Promise<unknown> {
    return this.#send([command, ...args]);
  }

  async info(section: string): Promise<string> {
    return (await this.#send(['INFO', section])) as string;
  }

  async wait(replicas: number, ms: number): Promise<number> {
    return (await this.#send(['WAIT', replicas, ms])) as number;
  }

  async scan(...args: (string | number)[]): Promise<[cursor: string, names: string[]]> {
    return (await this.#send(['SCAN', ...args])) as [string, string[]];
  }

  subscribe(channel: string): Promise<unknown> {
    return this.#subscribe('SUBSCRIBE', channel);
  }

  ssubscribe(channel: string): Promise<unknown> {
    return this.#subscribe('SSUBSCRIBE', channel);
  }

  async #subscribe(kind: 'SUBSCRIBE' | 'SSUBSCRIBE', channel: string): Promise<unknown> {
    try {
      return await this.#exchange(async (link) => link.node.subscribe(kind, channel, link));
    } catch (error) {
      if ((error as Error).message.startsWith('MOVED ')) this.emit('moved');
      throw error;
    }
  }

  #send(args: readonly (string | number)[]): Promise<unknown> {
    return this.#exchange(async (link) => {
      const reply = await link.node.run(args);
      this.timeline.note(
        `${this.process.name} ${words(args)} at ${link.node.name}: ${shown(reply)}`,
      );
      return reply;
    });
  }

  #exchange(atServer: (link: Link) => Promise<unknown>): Promise<unknown> {
    const link = this.#link;
    if (this.status === 'connecting' && this.options.enableOfflineQueue) {
      return new Promise((resolve, reject) => {
        const onReady = (): void => {
          this.off('close', onClose);
          resolve(this.#exchange(atServer));
        };
        const onClose = (): void => {
          this.off('ready', onReady);
          reject(new Error('Connection is closed.'));
        };
        this.once('ready', onReady).once('close', onClose);
      });
    }
    if (this.status !== 'ready' || link === undefined) {
      return Promise.reject(
        new Error("Stream isn't writeable and enableOfflineQueue options is false"),
      );
    }
    return new Promise((resolve, reject) => {
      this.#pending.add(reject);
      this.#watch(link);
      link.up(async () => {
        const reply = await atServer(link);
        link.down(() => {
          this.hears();
          if (!this.#pending.delete(reject)) return;
          if (reply instanceof Error) reject(reply);
          else resolve(reply);
        });
      });
    });
  }

  /** As `socketTimeout` of ioredis does: it ends a connection on which nothing is heard for so long. */
  #watch(link: Link): void {
    const { socketTimeout } = this.options;
    if (socketTimeout === undefined) return;
    const since = (this.#silentSince = this.timeline.now);
    this.process.at(since + socketTimeout, () => {
      if (this.#silentSince === since && this.#pending.size > 0) {
        this.breaks(link, 'Socket timeout');
      }
    });
  }

  #ends(again: boolean): void {
    this.#attempt = {};
    this.#link?.end();
    this.#link = undefined;
    const pending = [...this.#pending];
    this.#pending.clear();
    this.status = 'close';
    this.emit('close');
    for (const reject of pending) reject(new Error('Connection is closed.'));
    if (!again || this.options.retryStrategy === null) {
      this.status = 'end';
      this.network.clients.delete(this);
      this.emit('end');
      return;
    }
    this.status = 'reconnecting';
    const attempt = this.#attempt;
    const pause = this.options.retryStrategy?.(++this.#attempts) ?? 50;
    this.process.at(this.timeline.now + pause, () => {
      if (attempt === this.#attempt && this.status === 'reconnecting') void this.connect();
    });
  }
}

function words([command, ...args]: readonly (string | number)[]): string {
  if (!/^eval/i.test(String(command))) return `${command} ${args.join(' ')}`;
  const [, count, ...rest] = args;
  return `script ${rest.slice(Number(count)).join(' ')}`;
}

function shown(reply: unknown): string {
  return reply instanceof Error ? reply.message : JSON.stringify(reply).slice(0, 120);
}
