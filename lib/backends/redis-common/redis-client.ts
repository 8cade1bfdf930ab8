/** What connects, and tells by events what comes of it. */
export interface Connection {
  readonly status: string;
  connect(): Promise<void>;
  disconnect(reconnect?: boolean): void;
  info(section: string): Promise<string>;
  on(event: string, listener: (...args: never[]) => void): unknown;
  once(event: string, listener: (...args: never[]) => void): unknown;
}

/**
 * What we need of a connection to a server, with the words, the states and the events of ioredis: clients of its
 * versions 5 and 6 fit as they are, and so does a copy of ioredis other than ours.
 */
export interface RedisClient extends Connection {
  /** What it is connected by, where that can be seen. */
  readonly stream?: { destroy(): void };
  call(command: 'evalsha' | 'eval', args: (string | number)[]): Promise<unknown>;
  scan(
    cursor: string,
    match: 'MATCH',
    pattern: string,
    count: 'COUNT',
    keys: number,
  ): Promise<[cursor: string, names: string[]]>;
  wait(replicas: number, ms: number): Promise<number>;
  /** Never resolves to undefined, as waiting in vain does; nor does the next. */
  subscribe(channel: string): Promise<unknown>;
  ssubscribe(channel: string): Promise<unknown>;
}

/** Ends a connection on which nothing is heard, without waiting for an answer to that. */
export function giveUp(client: Pick<RedisClient, 'disconnect' | 'stream'>): void {
  if (client.stream === undefined) client.disconnect(true);
  else client.stream.destroy();
}
