import { Redis } from 'ioredis';
import { redisScripts } from '../../lib/backends/redis/redis-scripts.js';
import type { RedisCalls } from '../../lib/backends/redis/scripts/calls.js';

type RedisScript = keyof RedisCalls;

/** A request on its way to the server. */
export interface CarriedRequest {
  readonly script: RedisScript;
  /** Lets it arrive there, now or later; resolves with the reply. */
  readonly send: () => Promise<unknown>;
}

const NAMES = new Map(
  Object.entries(redisScripts).map(([name, { sha }]) => [sha, name as RedisScript] as const),
);

/** What a client says of a request when its connection breaks. */
const BROKEN = 'Connection is closed.';

const straight = ({ send }: CarriedRequest): Promise<unknown> => send();

/**
 * A client for RedisBackend that carries each request to the server, and each message from it, when
 * a test wants it to. So late ones are late by the order of events, and not by the clock.
 */
export class Courier {
  readonly options = {};
  /** Every script that was asked for, whether or not it arrived. */
  readonly asked: RedisScript[] = [];
  /** What is done with each request; resolves or rejects for who asked. */
  carry = straight;
  /** What is done with each message. */
  deliver = (arrive: () => void): void => {
    arrive();
  };
  /** Whether the server may be asked for its clock, which is not counted as a question. */
  tellsTime = true;

  constructor(private readonly url: string) {}

  duplicate(own: object): Redis {
    const client = new Redis(this.url, own);
    const call = client.call.bind(client) as (command: string, args: unknown[]) => Promise<unknown>;
    const emit = client.emit.bind(client);
    return Object.assign(client, {
      call: (command: string, args: unknown[]) => {
        const send = () => call(command, args);
        if (command !== 'evalsha') return send();
        const script = NAMES.get(args[0] as string)!;
        if (script === 'clock') return this.tellsTime ? send() : this.lose();
        this.asked.push(script);
        return this.carry({ script, send });
      },
      emit: (event: string, ...args: unknown[]) => {
        const arrive = () => emit(event, ...args);
        if (event === 'message') this.deliver(arrive);
        return event === 'message' || arrive();
      },
    });
  }

  /** How often a script was asked for. */
  count(script: RedisScript): number {
    return this.asked.filter((asked) => asked === script).length;
  }

  /** What is done with each request of one script from now on; the others go straight. */
  on(script: RedisScript, carry: (request: CarriedRequest) => Promise<unknown>): void {
    this.carry = (request) => (request.script === script ? carry : straight)(request);
  }

  /**
   * The connection seems to break under the next request of this script. Resolves to what lets it
   * arrive at the server after all: late, once or often.
   */
  stray(script: RedisScript): Promise<() => Promise<unknown>> {
    return new Promise((resolve) => {
      this.on(script, ({ send }) => {
        this.carry = straight;
        resolve(send);
        return this.lose();
      });
    });
  }

  /** What becomes of a request whose reply does not come. */
  lose(): Promise<never> {
    return Promise.reject(new Error(BROKEN));
  }
}
