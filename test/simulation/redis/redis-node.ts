import { EPOCH, type Timeline } from '../clock/timeline.js';
import { SimServer } from '../sim-server.js';
import type { Memory, Message, RealRedis } from './real-redis.js';
import type { Reply } from './resp.js';

/** Where messages are delivered to. */
export interface Subscriber {
  deliver(message: Message): void;
  /** The channel is somewhere else now. */
  moved(): void;
}

/** How late a replica hears what is published at its master, in milliseconds. */
const [SOON, LATE] = [0.1, 20];

/** One server of a simulation: it can be frozen, and started anew with what it knew, or another one, or nobody. */
export class RedisNode extends SimServer {
  /** Counts its starts: who was connected before is not any more. */
  starts = 1;
  #runId: string;
  readonly #subscribers = new Map<string, Set<Subscriber>>();
  /** Those that deliver what is published here, though nobody counts them, and when the last message arrives. */
  readonly #replicas = new Map<RedisNode, number>();
  #master: RedisNode | undefined;
  /** Commands wait for each other, as in a server. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    name: string,
    timeline: Timeline,
    readonly real: RealRedis,
  ) {
    super(name, timeline);
    this.#runId = timeline.random.bytes(20).toString('hex');
  }

  /** Carries out a command and delivers what it publishes. */
  async run(args: readonly (string | number)[]): Promise<Reply> {
    const run = this.#last.then(() => this.#run(args));
    this.#last = run;
    return run;
  }

  async #run(args: readonly (string | number)[]): Promise<Reply> {
    const { reply, messages, dropped } = await this.real.run(EPOCH + this.timeline.now, args);
    for (const channel of dropped) this.#drop(channel);
    for (const message of messages) this.#publish(message);
    if (String(args[0]).toUpperCase() !== 'INFO' || typeof reply !== 'string') return reply;
    // Each start has another, and the same in each run of a seed.
    return reply.replace(/^run_id:\w+/m, `run_id:${this.#runId}`);
  }

  #publish(message: Message): void {
    for (const subscriber of this.#subscribers.get(message.channel) ?? []) {
      subscriber.deliver(message);
    }
    const { now, random } = this.timeline;
    for (const [replica, last] of this.#replicas) {
      const arrival = Math.max(last, now + random.between(SOON, LATE));
      this.#replicas.set(replica, arrival);
      this.timeline.at(arrival, () => {
        if (this.#replicas.has(replica)) replica.#publish(message);
      });
    }
  }

  get isReplica(): boolean {
    return this.#master !== undefined;
  }

  /** It is a replica of that one from now on, and delivers what is published there; or a master itself. */
  follow(master: RedisNode | undefined): void {
    if (this.#master !== undefined) this.#master.#replicas.delete(this);
    this.#master = master;
    if (master !== undefined) master.#replicas.set(this, 0);
  }

  async subscribe(
    kind: 'SUBSCRIBE' | 'SSUBSCRIBE',
    channel: string,
    subscriber: Subscriber,
  ): Promise<Reply> {
    const reply = await this.run([kind, channel]);
    if (reply instanceof Error) return reply;
    const all = this.#subscribers.get(channel) ?? new Set();
    this.#subscribers.set(channel, all.add(subscriber));
    return 1;
  }

  /** Nobody listens to this channel here any more, and those who did are told. */
  #drop(channel: string): void {
    const all = this.#subscribers.get(channel) ?? [];
    this.#subscribers.delete(channel);
    for (const subscriber of all) subscriber.moved();
  }

  async unsubscribe(subscriber: Subscriber): Promise<void> {
    for (const [channel, all] of this.#subscribers) {
      if (!all.delete(subscriber) || all.size > 0) continue;
      this.#subscribers.delete(channel);
      await this.run(['UNSUBSCRIBE', channel]);
      await this.run(['SUNSUBSCRIBE', channel]);
    }
  }

  /** All that it knows. */
  memory(): Promise<Memory> {
    return this.real.memory(EPOCH + this.timeline.now);
  }

  /** What an operator says to it. */
  async order(words: string): Promise<void> {
    await this.real.run(EPOCH + this.timeline.now, words.split(' '));
  }

  /** It starts anew, and knows this. */
  async restart(memory: Memory = []): Promise<void> {
    this.#runId = this.timeline.random.bytes(20).toString('hex');
    await this.recall(memory);
  }

  /** It knows this from now on, and nothing else; all its connections break. */
  async recall(memory: Memory): Promise<void> {
    this.starts++;
    this.#subscribers.clear();
    for (const words of ['UNSUBSCRIBE', 'SUNSUBSCRIBE', 'SCRIPT FLUSH']) await this.order(words);
    await this.real.recall(EPOCH + this.timeline.now, memory);
  }
}
