import { pause, within } from '../../time/clock.js';
import { LockBackendError } from '../../errors/index.js';
import { messageOf } from '../../text/shown.js';
import { outsideOfContexts } from '../../time/timers.js';

/** What Redis is logged in to with. */
export interface RedisCredentials {
  /** @default the user `default` */
  readonly username?: string;
  readonly password: string;
}

/** Gives the credentials of now: called before connections are made, as tokens live for minutes only. */
export type RedisCredentialsProvider = () => RedisCredentials | Promise<RedisCredentials>;

/** The longest pause before a provider that failed is asked again, in milliseconds. */
const LONGEST_PAUSE = 1_000;

const NAMES = ['username', 'password', 'sentinelUsername', 'sentinelPassword'] as const;

type LoginOptions = Readonly<Partial<Record<(typeof NAMES)[number], unknown>>>;

/** A client of our own, as far as its login is concerned; versions 5 and 6 of ioredis are alike in this. */
interface Connecting {
  readonly options: LoginOptions;
  /** What ioredis logs in with, read off the options before the connector is asked. */
  readonly condition?: { auth?: unknown } | null;
  readonly connector: { connect: (...args: never[]) => Promise<unknown> };
  disconnect: (reconnect?: boolean) => void;
  emit(event: 'error', error: Error): unknown;
}

/** What connections log in with, each time that they are made. */
export interface Login {
  /** From now on a client's options say what is right now: ioredis reads them when it connects. */
  follow(options: LoginOptions): void;
  /** To be awaited before a connection is made, where that takes asking. */
  readonly renew: (() => Promise<void>) | undefined;
}

/** What the options of a client of the user's say, who may change them. */
export class FollowedLogin implements Login {
  readonly renew = undefined;
  readonly #before: LoginOptions;

  constructor(private readonly source: () => LoginOptions | undefined) {
    this.#before = { ...source() };
  }

  follow(options: LoginOptions): void {
    for (const name of NAMES) {
      // What is not from there is not to be changed: a node may have a login of its own.
      if (options[name] === this.#before[name]) define(options, name, () => this.source()?.[name]);
    }
  }
}

/** What a function gives. */
export class ProvidedLogin implements Login {
  #given: RedisCredentials | undefined;
  #asking: Promise<RedisCredentials> | undefined;

  constructor(
    private readonly provider: RedisCredentialsProvider,
    /** How long to wait for it before it counts as a failure, in milliseconds. */
    private readonly patience: number,
  ) {}

  follow(options: object): void {
    define(options, 'username', () => this.#given?.username);
    define(options, 'password', () => this.#given?.password);
  }

  readonly renew = async (): Promise<void> => {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    // One that takes longer is waited for still, by who comes next.
    const given = await within(this.patience, this.#asking);
    if (given === undefined) {
      throw new Error(`credentials took longer than ${this.patience} ms to come`);
    }
  };

  async #ask(): Promise<RedisCredentials> {
    let given: unknown;
    try {
      given = await outsideOfContexts(() => this.provider());
    } catch (error) {
      throw new Error(`credentials failed: ${messageOf(error)}`, { cause: error });
    }
    return (this.#given = checked(given));
  }
}

/**
 * Has a client of ours log in so. What fails is told by its `error` event.
 * @param again whether it is tried again when there is nothing to log in with; else the client ends
 */
export function logInBy(login: Login, client: Connecting, again = true): void {
  login.follow(client.options);
  const { renew } = login;
  if (renew !== undefined) renewBefore(client, renew, again);
}

function renewBefore(client: Connecting, renew: () => Promise<void>, again: boolean): void {
  const { connector } = client;
  const [connect, disconnect] = [connector.connect.bind(connector), client.disconnect.bind(client)];
  let over = false;
  client.disconnect = (reconnect) => {
    if (reconnect !== true) over = true;
    disconnect(reconnect);
  };
  const renewed = async () => {
    for (let longest = 50; ; longest = Math.min(2 * longest, LONGEST_PAUSE)) {
      try {
        await renew();
        return;
      } catch (error) {
        if (!again) throw error;
        client.emit('error', error as Error);
      }
      await pause(longest * Math.random());
      if (over) return;
    }
  };
  // Not `connect` of the client, after which ioredis takes it for connecting at once.
  connector.connect = async (...args) => {
    await renewed();
    if (over) throw new Error('the connection is closed');
    const { username, password } = client.options;
    if (client.condition) client.condition.auth = username ? [username, password] : password;
    return connect(...args);
  };
}

function define(options: object, name: string, get: () => unknown): void {
  // As any other option: copies of the client have what it says then.
  Object.defineProperty(options, name, { get, enumerable: true, configurable: true });
}

/** @throws LockBackendError that shows nothing of what was given */
function checked(given: unknown): RedisCredentials {
  const { username, password } = (given ?? {}) as Partial<Record<keyof RedisCredentials, unknown>>;
  const isName = username === undefined || typeof username === 'string';
  if (typeof password === 'string' && isName) return given as RedisCredentials;
  let what = `a ${typeof given}`;
  if (given === undefined || given === null) what = String(given);
  else if (typeof given === 'object') {
    what = `a password of type ${typeof password} and a username of type ${typeof username}`;
  }
  throw new LockBackendError(
    `credentials must give { username?: string, password: string }, got ${what}`,
  );
}
