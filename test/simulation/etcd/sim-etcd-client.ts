import { EventEmitter } from 'node:events';
import type {
  Etcd3,
  IEvent,
  ILeaseGrantRequest,
  IPutRequest,
  IRangeRequest,
  IResponseHeader,
  ITxnRequest,
  IWatchCreateRequest,
  IWatchRequest,
  IWatchResponse,
} from 'etcd3';
import type { Timeline } from '../clock/timeline.js';
import type { Connected, Network } from '../network.js';
import type { SimProcess } from '../sim-process.js';
import type { EtcdCluster, EtcdMember } from './etcd-cluster.js';
import type { Applied } from './etcd-store.js';

interface CallOptions {
  /** By the wall clock of the process. */
  readonly deadline?: number;
}

type Lost = (error: Error) => void;

/** A client of a simulated etcd, as far as the package uses one of etcd3. */
export class SimEtcdClient implements Connected {
  readonly #pending = new Set<Lost>();
  readonly #streams = new Set<WatchStream>();

  constructor(
    readonly process: SimProcess,
    private readonly cluster: EtcdCluster,
    private readonly network: Network,
    private readonly timeline: Timeline,
  ) {
    network.clients.add(this);
  }

  /** For the package. */
  get etcd(): Etcd3 {
    const { store } = this.cluster;
    const client = {
      kv: {
        txn: (request: ITxnRequest, options: CallOptions) =>
          this.#call(`txn ${this.#words(request)}`, options, () => store.txn(request)),
        range: (request: IRangeRequest, options: CallOptions) =>
          this.#call(`range ${String(request.key)}`, options, () => ({
            kvs: store.range(request),
          })),
        put: ({ key, value, lease }: IPutRequest, options: CallOptions) =>
          this.#call(`put ${String(key)}`, options, () => {
            store.put(key!, value!, String(lease));
            return {};
          }),
      },
      leaseClient: {
        leaseGrant: ({ TTL }: ILeaseGrantRequest, options: CallOptions) =>
          this.#call(`grant ${TTL}`, options, () => {
            const { id: ID, ttl } = store.grant(Number(TTL));
            return { ID, TTL: String(ttl), error: '' };
          }),
        leaseRevoke: ({ ID }: { ID: string }, options: CallOptions) =>
          this.#call(`revoke ${ID}`, options, () => {
            store.revoke(ID);
            return {};
          }),
        leaseTimeToLive: ({ ID }: { ID: string }, options: CallOptions) =>
          this.#call(`life of ${ID}`, options, () => ({ TTL: String(store.timeToLive(ID)) })),
        leaseKeepAlive: (options: CallOptions) => Promise.resolve(this.#keepAlives(options)),
      },
      watchClient: { watch: () => this.#watch() },
      maintenance: {
        status: (options: CallOptions) =>
          this.#call('status', options, () => ({ version: '3.5.24' })),
      },
    };
    return client as unknown as Etcd3;
  }

  /** The network breaks what there is. */
  breaks(): void {
    for (const lose of this.#pending) lose(new Error('14 UNAVAILABLE: Connection dropped'));
    for (const stream of this.#streams) stream.breaks();
    this.#streams.clear();
  }

  dies(): void {
    for (const stream of this.#streams) stream.cancel();
    this.network.clients.delete(this);
  }

  #words({ success = [] }: ITxnRequest): string {
    return success
      .map(
        (op) =>
          `${Object.keys(op).join()} ${String((op.request_put ?? op.request_delete_range)?.key ?? '')}`,
      )
      .join('; ');
  }

  /** One question and its answer, which may both be lost. Those of one client may overtake each other. */
  #call<T>(words: string, { deadline }: CallOptions, atServer: () => T): Promise<T> {
    const { process, network, timeline, cluster } = this;
    const member = timeline.random.pick(cluster.members);
    let isOpen = true;
    return new Promise((resolve, reject) => {
      const lose: Lost = (error) => {
        this.#pending.delete(lose);
        isOpen = false;
        reject(error);
      };
      this.#pending.add(lose);
      if (deadline !== undefined && Number.isFinite(deadline)) {
        process.at(timeline.now + Math.max(0, deadline - process.wallClock), () => {
          if (isOpen) lose(new Error('4 DEADLINE_EXCEEDED: Deadline exceeded'));
        });
      }
      if (network.loses(this, member, 'requests')) return;
      const arrive = (): void => {
        const blocked = Math.max(member.frozenUntil, cluster.ready);
        if (timeline.now < blocked) {
          timeline.at(blocked + network.delay(), arrive);
          return;
        }
        // A server does not begin what was given up.
        if (!isOpen && timeline.random.chance(0.5)) return;
        let answer: T | Error;
        try {
          answer = atServer();
        } catch (error) {
          answer = error as Error;
        }
        cluster.tell();
        const header = this.#header(cluster.store.revision);
        timeline.note(`${process.name} ${words} at ${header.revision}: ${shown(answer)}`);
        if (network.loses(this, member, 'replies')) return;
        process.at(timeline.now + network.delay(), () => {
          if (!isOpen) return;
          this.#pending.delete(lose);
          isOpen = false;
          if (answer instanceof Error) reject(answer);
          else resolve({ header, ...answer });
        });
      };
      timeline.in(network.delay(), arrive);
    });
  }

  #header(revision: number): IResponseHeader {
    return {
      ...{ cluster_id: '1', member_id: '1', raft_term: String(this.cluster.term) },
      revision: String(revision),
    };
  }

  /** A stream on which one question is asked. */
  #keepAlives(options: CallOptions): EventEmitter {
    const { store } = this.cluster;
    const stream = new EventEmitter();
    const write = ({ ID }: { ID: string }): void => {
      this.#call(`keep ${ID} alive`, options, () => ({
        ID,
        TTL: String(store.keepAlive(ID)),
      })).then(
        (reply) => stream.emit('data', reply),
        (error: unknown) => stream.emit('error', error),
      );
    };
    return Object.assign(stream, { write, end: () => undefined });
  }

  #watch(): Promise<WatchStream> {
    const { network, timeline, cluster } = this;
    const member = timeline.random.pick(cluster.members);
    const stream = new WatchStream(this, member, network, timeline, (revision) => {
      return this.#header(revision);
    });
    this.#streams.add(stream);
    return Promise.resolve(stream);
  }
}

/** Watches at one member: what it tells comes in the order in which the member learns it. */
class WatchStream extends EventEmitter {
  readonly #watched = new Map<string, { request: IWatchCreateRequest; since: number }>();
  #isOpen = true;
  #lastUp = 0;
  #lastDown = 0;

  constructor(
    private readonly client: SimEtcdClient,
    private readonly member: EtcdMember,
    private readonly network: Network,
    private readonly timeline: Timeline,
    private readonly header: (revision: number) => IResponseHeader,
  ) {
    super();
    member.watchers.add(this.#tell);
  }

  write({ create_request: create, cancel_request: cancel }: IWatchRequest): void {
    if (!this.#isOpen || this.network.loses(this.client, this.member, 'requests')) return;
    this.#lastUp = Math.max(this.#lastUp, this.timeline.now + this.network.delay());
    const arrive = (): void => {
      if (this.member.isFrozen) {
        this.timeline.at(this.member.frozenUntil, arrive);
        return;
      }
      const id = String(create?.watch_id ?? cancel?.watch_id);
      const { revision } = this.member;
      if (create) {
        this.#watched.set(id, { request: create, since: revision });
        this.#say({ watch_id: id, created: true }, revision);
      } else if (this.#watched.delete(id)) {
        this.#say({ watch_id: id, canceled: true }, revision);
      }
    };
    this.timeline.at(this.#lastUp, arrive);
  }

  end(): void {
    this.cancel();
  }

  cancel(): void {
    this.#isOpen = false;
    this.member.watchers.delete(this.#tell);
  }

  breaks(): void {
    if (!this.#isOpen) return;
    this.cancel();
    this.client.process.at(this.timeline.now, () => {
      this.emit('error', new Error('14 UNAVAILABLE: Connection dropped'));
    });
  }

  readonly #tell = ({ revision, events }: Applied): void => {
    for (const [id, { request, since }] of this.#watched) {
      const concerned = events.filter((event) => revision > since && concerns(request, event));
      if (concerned.length > 0) this.#say({ watch_id: id, events: concerned }, revision);
    }
  };

  #say(response: Partial<IWatchResponse>, revision: number): void {
    if (this.network.loses(this.client, this.member, 'replies')) return;
    const at = Math.max(
      this.#lastDown,
      this.member.frozenUntil,
      this.timeline.now + this.network.delay(),
    );
    this.#lastDown = at;
    this.client.process.at(at, () => {
      if (!this.#isOpen) return;
      const rest = { created: false, canceled: false, compact_revision: '0', events: [] };
      this.emit('data', { header: this.header(revision), ...rest, ...response });
    });
  }
}

function concerns({ key, range_end: end, filters = [] }: IWatchCreateRequest, event: IEvent) {
  if (event.type === 'Put' && filters.includes('Noput')) return false;
  const { key: changed } = event.kv;
  if (end === undefined) return changed.equals(key!);
  return changed.compare(key!) >= 0 && changed.compare(end) < 0;
}

function shown(answer: unknown): string {
  if (answer instanceof Error) return answer.message;
  const { succeeded, kvs } = answer as { succeeded?: boolean; kvs?: object[] };
  if (succeeded !== undefined) return succeeded ? 'succeeded' : 'failed';
  return kvs === undefined ? 'done' : `${kvs.length} keys`;
}
