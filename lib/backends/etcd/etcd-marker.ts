import type { IKeyValue } from 'etcd3';
import type { EtcdCalls } from './etcd-calls.js';
import type { Change, EtcdWatch, Watch, Watchable } from './etcd-watch.js';
import type { Keyspace } from './keyspace.js';

/** What is told to who watches a marker. */
export interface MarkerListener {
  /** The marker was seen at this change; undefined for its absence. */
  readonly seen: (revision: string | undefined) => void;
  /** Something was put down for who holds the lease. */
  readonly hear: (message: IKeyValue) => void;
}

const OLDEST_FIRST = { sort_target: 'Mod', sort_order: 'Ascend' } as const;

/** Watches the marker of a lease, and on the same watch the messages to who holds it: they follow it by name. */
export class EtcdMarkerWatch {
  readonly #watched: Watchable & { readonly end: Buffer };
  #watch: Watch;
  #ended = false;
  /** The revision of the last message. */
  #heard: string;

  constructor(
    lease: string,
    seen: string,
    keyspace: Keyspace,
    private readonly calls: EtcdCalls,
    private readonly watches: EtcdWatch,
    private readonly listener: MarkerListener,
  ) {
    const [key, end] = [keyspace.markerOf(lease), keyspace.afterMessagesOf(lease)];
    this.#watched = { key, end, puts: true };
    this.#heard = seen;
    this.#watch = this.#begin(seen);
  }

  /** See {@link Watch.begun}. */
  get begun(): Promise<void> {
    return this.#watch.begun;
  }

  end(): void {
    this.#ended = true;
    this.#watch.end();
  }

  #begin(seen: string): Watch {
    return this.watches.watch(this.#watched, seen, (change) => {
      this.#see(change);
    });
  }

  #see(change: Change): void {
    if (change === 'missed' || change === 'over') void this.#look(change === 'over');
    else if (change.type === 'Put') this.#hear(change.kv);
    else if (this.#isMarker(change.kv)) this.listener.seen(undefined);
  }

  /** What happened while there was no watch. Never rejects. */
  async #look(watchAgain: boolean): Promise<void> {
    const { key, end: range_end } = this.#watched;
    try {
      const { kvs, stamp } = await this.calls.range({ ...OLDEST_FIRST, key, range_end });
      this.listener.seen(kvs.find((kv) => this.#isMarker(kv))?.mod_revision);
      for (const kv of kvs) this.#hear(kv);
      if (this.#ended || !watchAgain) return;
      this.#watch.end();
      this.#watch = this.#begin(stamp.revision);
    } catch {
      // Without a watch, a keepalive finds the end.
    }
  }

  /** Each message once: what was read may be told as well. */
  #hear(message: IKeyValue): void {
    const { mod_revision: revision } = message;
    if (this.#ended || this.#isMarker(message) || Number(revision) <= Number(this.#heard)) return;
    this.#heard = revision;
    this.listener.hear(message);
  }

  #isMarker({ key }: IKeyValue): boolean {
    return key.equals(this.#watched.key);
  }
}
