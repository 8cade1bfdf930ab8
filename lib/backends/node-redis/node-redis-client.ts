import { createClient } from 'redis';
import { shown } from '../../text/shown.js';

/** What we need of one client of node-redis, by structure: versions 4, 5 and 6 fit. */
export interface NodeRedisClient {
  readonly isReady: boolean;
  connect(): Promise<unknown>;
  /** Version 4 has only {@link disconnect}. */
  destroy?(): void;
  disconnect(): unknown;
  sendCommand(args: readonly string[]): Promise<unknown>;
  subscribe(channel: string, listener: MessageListener): Promise<unknown>;
  sSubscribe(channel: string, listener: MessageListener): Promise<unknown>;
  on(event: string, listener: (...args: never[]) => void): unknown;
}

type MessageListener = (message: string, channel: string) => void;

/** What we read of its options. */
export interface NodeRedisOptions {
  readonly socket?: object | undefined;
  readonly keyPrefix?: string | Buffer | undefined;
}

/** A client of createClient. */
export interface DuplicableClient {
  readonly options?: NodeRedisOptions | undefined;
  duplicate(...args: never[]): unknown;
}

/** An address that takes the place of the one in the options. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * What our own connections insist on.
 * @param silence when a server is given up that accepts no connection, in milliseconds
 */
export function ownOptions({ socket }: NodeRedisOptions, silence: number, address?: Address) {
  return {
    socket: {
      ...socket,
      ...address,
      connectTimeout: silence,
      // It would count while there is nothing to hear as well.
      socketTimeout: undefined,
      // Each connection is a client of its own: so nothing is sent late, and nothing is subscribed
      // to behind our back.
      reconnectStrategy: false,
    },
    disableOfflineQueue: true,
    // Scripts and messages are the same in both, and what needs the other one is not for locks.
    RESP: 2,
    clientSideCache: undefined,
    emitInvalidate: undefined,
    maintNotifications: 'disabled',
    commandOptions: { timeout: 0 },
    commandsQueueMaxLength: undefined,
    keyPrefix: undefined,
    legacyMode: false,
    readonly: false,
  };
}

/** Never connected. To make a client from nothing takes long, of which a copy is free. */
let template: DuplicableClient | undefined;

/** A client of our own that is not yet connected. */
export function openClient(
  options: NodeRedisOptions,
  silence: number,
  address?: Address,
): NodeRedisClient {
  const own = ownOptions(options, silence, address);
  try {
    return fromTemplate({ ...options, ...own, ...(address && { url: undefined }) });
  } catch (error) {
    // It may show the URL, and the password in it.
    // eslint-disable-next-line preserve-caught-error
    throw new Error(shown(error));
  }
}

/** The same as a copy of a client of the user's. What a URL says is in its options already, read. */
export function duplicated(client: DuplicableClient, silence: number): NodeRedisClient {
  return copied(client, { ...ownOptions(client.options ?? {}, silence), url: undefined });
}

/** A client that says where a server is, and is never connected itself. */
export function clientFor(url: string): DuplicableClient {
  return fromTemplate({ url });
}

function fromTemplate(options: object): NodeRedisClient & DuplicableClient {
  template ??= createClient();
  return copied(template, options);
}

function copied(client: DuplicableClient, options: object): NodeRedisClient & DuplicableClient {
  const { duplicate } = client as { duplicate: (this: object, options: object) => unknown };
  return duplicate.call(client, options) as NodeRedisClient & DuplicableClient;
}
