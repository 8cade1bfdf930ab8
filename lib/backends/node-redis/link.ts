import { nextTick } from 'node:process';
import { within } from '../../time/clock.js';
import { asReply, isAnswer } from './answers.js';
import type { NodeRedisClient } from './node-redis-client.js';

/** Which kind of channel: of all the server, or of a slot of a Cluster. */
export type MessageEvent = 'message' | 'smessage';

export interface LinkContext {
  /** Not yet connected, and never reconnecting. */
  readonly client: NodeRedisClient;
  /** When to give up a server that does not answer, in milliseconds. */
  readonly silence: number;
  /** Is told once why the connection has come to its end, if it came about and nobody closed it. */
  readonly lost: (error: Error) => void;
  readonly hear: (event: MessageEvent, channel: string, message: string) => void;
  /** It does not listen to a sharded channel any more, as its slot has moved. */
  readonly moved: () => void;
}

/** One connection, from its beginning to its end: a client of node-redis of its own. */
export class Link {
  #state: 'new' | 'connecting' | 'ready' | 'over' = 'new';
  #accepted = false;
  readonly #channels = new Set<string>();

  constructor(private readonly context: LinkContext) {
    const { client, lost, moved } = context;
    client.on('connect', () => {
      this.#accepted = true;
      if (this.#state === 'over') this.#destroy();
    });
    client.on('error', (error: Error) => {
      // An answer to one of its own pings says nothing of the connection.
      if (this.#state !== 'ready' || (client.isReady && isAnswer(error))) return;
      this.#state = 'over';
      // Not at once: it is about to tell all commands the same, which says more than that they were ended.
      nextTick(() => {
        this.#destroy();
      });
      lost(error);
    });
    client.on('sharded-channel-moved', (channel: string) => {
      this.#channels.delete(channel);
      moved();
    });
  }

  async connect(): Promise<void> {
    const { client, silence } = this.context;
    this.#state = 'connecting';
    try {
      const connecting = client.connect().then(() => true);
      if ((await within(silence, connecting)) === undefined) {
        throw new Error(`no connection within ${silence} ms`);
      }
      if (!client.isReady) throw new Error('the connection was closed');
      this.#state = 'ready';
    } catch (error) {
      this.close();
      throw asReply(error);
    }
  }

  /** Sends it now, or fails. */
  async send(args: readonly string[]): Promise<unknown> {
    try {
      return await this.context.client.sendCommand(args);
    } catch (error) {
      throw asReply(error);
    }
  }

  /** Resolves when the server listens. Once more, it makes sure that the server still answers. */
  async listen(event: MessageEvent, channel: string): Promise<true> {
    const { silence } = this.context;
    const listening = this.#channels.has(channel) ? this.#ping() : this.#subscribe(event, channel);
    if ((await within(silence, listening)) !== undefined) return true;
    const error = new Error(`no reply within ${silence} ms`);
    if (this.#state === 'ready') {
      this.close();
      this.context.lost(error);
    }
    throw error;
  }

  close(): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    // One that the server has not accepted yet cannot be ended, and would come about all the same.
    if (this.#accepted) this.#destroy();
  }

  async #subscribe(event: MessageEvent, channel: string): Promise<true> {
    const { client, hear } = this.context;
    const listener = (message: string) => {
      hear(event, channel, message);
    };
    try {
      if (event === 'message') await client.subscribe(channel, listener);
      else await client.sSubscribe(channel, listener);
    } catch (error) {
      throw asReply(error);
    }
    this.#channels.add(channel);
    return true;
  }

  /** To subscribe again would send nothing. Who lacks the right for this is answered as well. */
  async #ping(): Promise<true> {
    try {
      await this.context.client.sendCommand(['PING']);
    } catch (error) {
      if (!isAnswer(error)) throw error;
    }
    return true;
  }

  #destroy(): void {
    const { client } = this.context;
    try {
      if (client.destroy !== undefined) client.destroy();
      else Promise.resolve(client.disconnect()).catch(() => undefined);
    } catch {
      // It was over already.
    }
  }
}

/** Asks one thing, on a connection of its own. */
export async function askOnce(
  client: NodeRedisClient,
  silence: number,
  command: readonly string[],
): Promise<unknown> {
  const ignore = () => undefined;
  const link = new Link({ client, silence, lost: ignore, hear: ignore, moved: ignore });
  try {
    await link.connect();
    const answer = await within(silence, link.send(command));
    if (answer === undefined) throw new Error(`no reply within ${silence} ms`);
    return answer;
  } finally {
    link.close();
  }
}
