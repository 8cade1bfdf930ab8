import { castGrpcError, type Etcd3, type ITxnRequest } from 'etcd3';
import type { IKeyValue, ILeaseKeepAliveResponse, IRangeRequest, IResponseHeader } from 'etcd3';
import { Deadline, Instant, pause, wallTimeIn } from '../../time/clock.js';
import { outsideOfContexts } from '../../time/timers.js';
import { Suspicion } from '../suspicion.js';
import { Alarms } from './alarms.js';
import { isPassing, isUnsent, NoAnswerError, toBackendError } from './etcd-errors.js';
import type { Queue } from './keyspace.js';
import { everyMember, type Reply } from './operations.js';

/** The longest pause before a failed request is sent again, in milliseconds. */
const LONGEST_PAUSE = 250;

/** How much longer we wait than gRPC, which knows the host that did not answer, in milliseconds. */
const GRACE = 100;

/** When a request was sent, and what the server was when it answered. */
export interface Stamp {
  readonly sent: Instant;
  /** The term of the leader: as long as it is the same, the leader is the same. */
  readonly term: string;
  readonly revision: string;
}

export interface TxnReply extends Reply {
  readonly stamp: Stamp;
}

/** How an answer is waited for. */
interface Waiting {
  /** Milliseconds. */
  readonly patience?: number;
  /** Whether it is for somebody who has no time to wait that long and to try again. */
  readonly hurried?: boolean;
  /** Whether it is said on a stream that stands: its silence is not that of the call after it. */
  readonly streamed?: boolean;
}

export type WatchStream = Awaited<ReturnType<Etcd3['watchClient']['watch']>>;

/** The one place where requests are sent to etcd; none of them waits for longer than the patience. */
export class EtcdCalls {
  #trouble: Error | undefined;
  readonly #alarms = new Alarms();
  readonly #suspicion: Suspicion;
  /** The greatest revision that a transaction was answered with. */
  #revision = 0;

  constructor(
    private readonly client: Etcd3,
    /** How many hosts may be asked instead of one that cannot be reached. */
    private readonly otherHosts: number,
    /** How long to wait for an answer, in milliseconds. */
    readonly patience: number,
    private readonly warn: (message: string) => void,
  ) {
    this.#suspicion = new Suspicion(otherHosts + 1);
  }

  /** Why there were no answers lately; undefined after any answer. */
  get trouble(): Error | undefined {
    return this.#trouble;
  }

  async txn(request: ITxnRequest, waiting?: Waiting): Promise<TxnReply> {
    const sent = Instant.now();
    const known = this.#revision;
    const { header, succeeded, responses } = await this.#answered(
      (options) => this.client.kv.txn(request, options),
      waiting,
    );
    this.#learn(Number(header.revision), known);
    return { stamp: stampOf(sent, header), succeeded, responses };
  }

  async range(request: IRangeRequest) {
    const sent = Instant.now();
    const { header, kvs } = await this.#answered((options) =>
      this.client.kv.range(request, options),
    );
    return { stamp: stampOf(sent, header), kvs };
  }

  /** The members of a queue, in the order in which they came. */
  async members(queue: Queue): Promise<IKeyValue[]> {
    const { kvs } = await this.range(everyMember(queue));
    return kvs.filter(({ key }) => queue.hasMember(key));
  }

  async put(key: Buffer, lease: string): Promise<Stamp> {
    const sent = Instant.now();
    const { header } = await this.#answered(
      (options) => this.client.kv.put({ key, lease, value: Buffer.alloc(0) }, options),
      { hurried: true },
    );
    return stampOf(sent, header);
  }

  /** A new lease; the server may give it a longer life than was asked for, in seconds. */
  async grantLease(seconds: number) {
    const sent = Instant.now();
    // A request of somebody in a hurry may wait for it. One that is not used ends by itself.
    const { header, ID, TTL } = await this.#answered(
      (options) => this.client.leaseClient.leaseGrant({ TTL: seconds, ID: 0 }, options),
      { hurried: true },
    );
    return { stamp: stampOf(sent, header), id: ID, ttl: Number(TTL) * 1000 };
  }

  /** Resolves to undefined when there is no such lease (any more). */
  async keepAlive(id: string, patience: number): Promise<Stamp | undefined> {
    const sent = Instant.now();
    // A stream for one question: it goes to whichever host answers, with the rights of now.
    const ask = async (options: { deadline: number }) => {
      const stream = await this.client.leaseClient.leaseKeepAlive(options);
      return new Promise<ILeaseKeepAliveResponse>((resolve, reject) => {
        stream.on('data', (reply) => {
          resolve(reply);
          stream.end();
        });
        stream.on('error', (error) => {
          reject(castGrpcError(error));
        });
        stream.on('end', () => {
          reject(new NoAnswerError('etcd ended the stream without an answer'));
        });
        stream.write({ ID: id });
      });
    };
    const { header, TTL } = await this.#answered(ask, { patience, streamed: true });
    return Number(TTL) > 0 ? stampOf(sent, header) : undefined;
  }

  async revoke(id: string): Promise<void> {
    await this.#answered((options) => this.client.leaseClient.leaseRevoke({ ID: id }, options));
  }

  /** Milliseconds that a lease has left at least; negative when there is no such lease. */
  async timeToLive(id: string): Promise<number> {
    const { TTL } = await this.#answered((options) =>
      this.client.leaseClient.leaseTimeToLive({ ID: id }, options),
    );
    return Number(TTL) * 1000;
  }

  /** A stream of our own and not etcd3's watchers, whose timers go on after the end. */
  async openWatch(): Promise<WatchStream> {
    const opening: Promise<WatchStream>[] = [];
    const open = () => {
      const stream = this.client.watchClient.watch({ deadline: Infinity });
      opening.push(stream);
      return stream;
    };
    try {
      // That it was begun is no word of the server's.
      return await this.#answered(open, {}, false);
    } catch (error) {
      // One that comes late is nobody's.
      for (const stream of opening) stream.then(discard, () => undefined);
      throw error;
    }
  }

  /** Nobody waits for an answer any more. */
  close(): void {
    this.#alarms.clear();
  }

  /** Calls `attempt` until it succeeds, fails for good, or `pointless` says that nobody cares any more. */
  async insist<T>(attempt: () => Promise<T>, pointless: () => boolean): Promise<T> {
    for (let longest = 20; ; longest = Math.min(2 * longest, LONGEST_PAUSE)) {
      try {
        return await attempt();
      } catch (error) {
        if (!isPassing(error) || pointless()) throw toBackendError(error);
      }
      await pause(longest * Math.random());
      if (pointless()) throw toBackendError(this.#trouble ?? new Error('given up'));
    }
  }

  /** @param known what was known when the request was sent: what is carried out later cannot be before it */
  #learn(revision: number, known: number): void {
    if (revision < known && this.#revision >= known) {
      this.#revision = revision;
      this.warn(
        `etcd lost data or was restored: its revision went back from ${known} to ${revision}. Locks of ` +
          'before may be held twice for a moment, and fencing tokens begin again at the revision. See ' +
          'docs/backends/etcd.md on restoring with a bumped revision.',
      );
    }
    this.#revision = Math.max(this.#revision, revision);
  }

  /** The version of the server that answers: `3.4.23`. */
  async version(): Promise<string> {
    const { version } = await this.#answered((options) => this.client.maintenance.status(options));
    return version;
  }

  /** What never left, because its host was not to be reached, is for another one. */
  #reach<T>(
    call: (options: { deadline: number }) => Promise<T>,
    options: { deadline: number },
    otherHosts: number,
  ): Promise<T> {
    const reply = call(options);
    if (otherHosts === 0) return reply;
    return reply.catch((error: unknown) => {
      if (!isUnsent(error)) throw error;
      return this.#reach(call, options, otherHosts - 1);
    });
  }

  #answered<T>(
    call: (options: { deadline: number }) => Promise<T>,
    { patience: most = this.patience, hurried = false, streamed = false }: Waiting = {},
    isHeard = true,
  ): Promise<T> {
    const asked = Instant.now();
    const isJudged = isHeard && !streamed;
    const patience = isJudged ? this.#suspicion.ask(most, hurried) : most;
    return new Promise((resolve, reject) => {
      // gRPC reads its wall clock at once, so that this says how long and not when. Our own alarm is
      // for what it does not cover: a login, or the retries of the user's client.
      // The first call to a host opens the connection for all that come later.
      const reply = outsideOfContexts(() =>
        this.#reach(call, { deadline: wallTimeIn(patience) }, this.otherHosts),
      );
      const fail = (error: unknown) => {
        this.#trouble = isPassing(error) ? (error as Error) : undefined;
        if (isJudged) this.#suspicion.over();
        if (asked.elapsed >= patience) this.#suspicion.silent();
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as it came
        reject(error);
      };
      let late = false;
      const callOff = this.#alarms.set(Deadline.in(patience + GRACE), () => {
        late = true;
        fail(new NoAnswerError(`no answer within ${patience} ms`));
      });
      reply.then(
        (answer) => {
          callOff();
          if (!late) this.#trouble = undefined;
          if (isJudged && !late) this.#suspicion.over();
          if (isHeard) this.#suspicion.hear(asked);
          resolve(answer);
        },
        (error: unknown) => {
          callOff();
          if (!late) fail(error);
        },
      );
    });
  }
}

/** Ended first: etcd3 would take the cancellation alone for a failure of the host. */
export function discard(stream: WatchStream): void {
  stream.on('error', () => undefined);
  stream.end();
  stream.cancel();
}

function stampOf(sent: Instant, { raft_term: term, revision }: IResponseHeader): Stamp {
  return { sent, term, revision };
}
