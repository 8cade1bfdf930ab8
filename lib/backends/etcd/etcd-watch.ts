import type { IEvent, IWatchResponse } from 'etcd3';
import { pause } from '../../time/clock.js';
import { discard, type EtcdCalls, type WatchStream } from './etcd-calls.js';

/** The longest pause before a broken stream is opened again, in milliseconds. */
const LONGEST_PAUSE = 1_000;

/**
 * A refusal counts as so many failures in a row where a stream is refused from its beginning, since the
 * next one is quickly refused again.
 */
const REFUSED = 5;

/** So many watches that nobody needs may stay on a stream on which they cannot be called off. */
const MOST_ABANDONED = 100;

/** Where the ids of our watches begin: greater than those that a proxy counts for itself. */
const FIRST_ID = 2 ** 32;

/** A key, or all from there to before the end. */
export interface Watchable {
  readonly key: Buffer;
  readonly end: Buffer | undefined;
  /** Whether other changes are told than deletions. */
  readonly puts: boolean;
}

/**
 * What is told to who watches: an event; `missed` when the watch has begun, and something may have
 * happened before that; `over` when the watch is, and tells nothing any more.
 *
 * An event is hearsay: of a member that is behind, it may be older than what was read before. It says
 * no more than "look again".
 */
export type Change = IEvent | 'missed' | 'over';

interface Watched {
  readonly what: Watchable;
  /** What happened up to this revision is known. */
  readonly seen: string;
  readonly tell: (change: Change) => void;
  readonly begin: () => void;
  /** Whether the server confirmed it on the present stream. */
  begun: boolean;
}

/** A watch that goes on until it is ended. */
export interface Watch {
  /** Resolves when the server has begun it, or will not; from then on it tells at once. */
  readonly begun: Promise<void>;
  end(): void;
}

/**
 * Tells of changes, for all watched keys of a process on one stream, which is open while there are any.
 *
 * The watches have ids of our choosing, as etcd allows. `etcd grpc-proxy` renames them and does not say
 * which is which: so on such a stream an event is told by its key, and a watch cannot be called off.
 */
export class EtcdWatch {
  readonly #watched = new Map<string, Watched>();
  /** Whether the present stream has ids that are not ours; then how many watches were asked for, begun, and given up on it. */
  #renamed = false;
  #asked = 0;
  #confirmed = 0;
  /** How many watches the present stream began with. */
  #first = 0;
  #abandoned = 0;
  #stream: WatchStream | undefined;
  #opening = false;
  #closed = false;
  #ids = FIRST_ID;
  #failures = 0;

  constructor(private readonly calls: EtcdCalls) {}

  /** Tells what happens after this revision. */
  watch(what: Watchable, seen: string, tell: (change: Change) => void): Watch {
    const id = String(++this.#ids);
    let begin!: () => void;
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const watched = { what, seen, tell, begin, begun: false };
    this.#watched.set(id, watched);
    if (this.#stream === undefined) void this.#open();
    else this.#create(id, watched);
    const end = () => {
      if (!this.#watched.delete(id)) return;
      if (this.#watched.size === 0) this.#drop();
      else if (!this.#renamed) this.#stream?.write({ cancel_request: { watch_id: id } });
      else if (++this.#abandoned > MOST_ABANDONED) this.distrust();
    };
    return { begun, end };
  }

  /** It did not tell of what has happened: it may hang at a host that does. */
  distrust(): void {
    this.#drop();
    if (this.#watched.size > 0) void this.#open();
  }

  close(): void {
    this.#closed = true;
    this.#watched.clear();
    this.#drop();
  }

  #drop(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream !== undefined) discard(stream);
  }

  /** Never rejects. */
  async #open(): Promise<void> {
    if (this.#opening) return;
    this.#opening = true;
    let stream: WatchStream | undefined;
    while (stream === undefined && this.#isNeeded()) {
      try {
        if (this.#failures > 0) {
          await pause(Math.min(20 * 2 ** this.#failures, LONGEST_PAUSE) * Math.random());
          if (!this.#isNeeded()) break;
        }
        this.#failures++;
        stream = await this.calls.openWatch();
      } catch {
        // It is tried again: until then the waiters look by themselves.
      }
    }
    this.#opening = false;
    if (stream === undefined) return;
    if (!this.#isNeeded()) {
      discard(stream);
      return;
    }
    this.#use(stream);
  }

  #isNeeded(): boolean {
    return !this.#closed && this.#watched.size > 0;
  }

  #use(stream: WatchStream): void {
    this.#stream = stream;
    this.#renamed = false;
    this.#asked = this.#confirmed = this.#abandoned = 0;
    for (const watched of this.#watched.values()) watched.begun = false;
    const broken = () => {
      if (this.#stream !== stream) return;
      this.#stream = undefined;
      void this.#open();
    };
    stream.on('error', broken);
    stream.on('end', broken);
    stream.on('data', (response) => {
      if (this.#stream !== stream) return;
      this.#failures = 0;
      this.#hear(response);
    });
    for (const [id, watched] of this.#watched) this.#create(id, watched);
    this.#first = this.#asked;
  }

  /** From now on: etcd serves a watch that begins in the past only ten times a second, until it has caught up. */
  #create(id: string, { what: { key, end, puts } }: Watched): void {
    const range = end === undefined ? { key } : { key, range_end: end };
    const filters = puts ? [] : (['Noput'] as const);
    this.#asked++;
    this.#stream?.write({ create_request: { watch_id: id, ...range, filters: [...filters] } });
  }

  #hear({ watch_id: id, header, created, canceled, ...rest }: IWatchResponse): void {
    const { compact_revision: compacted, events } = rest;
    const watched = this.#watched.get(id);
    if (canceled && compacted !== '0' && watched !== undefined) {
      this.#watched.delete(id);
      watched.begin();
      watched.tell('over');
    } else if (canceled && watched === undefined && Number(id) >= FIRST_ID) {
      // We called it off.
    } else if (canceled) {
      // Refused, under the id that was asked for or -1: the login that the stream was opened with has
      // ended. Or ended at a proxy, which does not say whose it is.
      this.#failures = this.#confirmed < this.#first ? REFUSED : 0;
      this.distrust();
    } else if (created) {
      this.#begin(id, header.revision);
    } else {
      const concerned = this.#renamed ? [...this.#watched.values()] : [watched];
      for (const one of concerned) {
        for (const event of events) if (one !== undefined && concerns(one, event)) one.tell(event);
      }
    }
  }

  #begin(id: string, revision: string): void {
    this.#confirmed++;
    if (Number(id) < FIRST_ID) this.#renamed = true;
    // Of those that were renamed, it is only known when all have begun.
    if (this.#renamed && this.#confirmed < this.#asked) return;
    const own = this.#watched.get(id);
    const begun = this.#renamed ? [...this.#watched.values()] : own === undefined ? [] : [own];
    for (const watched of begun) {
      if (watched.begun) continue;
      watched.begun = true;
      watched.begin();
      // It does not tell what happened in between; nor of what went with data that etcd lost.
      if (revision !== watched.seen) watched.tell('missed');
    }
  }
}

/** Whether the watch asked for such an event. */
function concerns({ what: { key, end, puts } }: Watched, { type, kv }: IEvent): boolean {
  if (type === 'Put' && !puts) return false;
  return end === undefined
    ? kv.key.equals(key)
    : kv.key.compare(key) >= 0 && kv.key.compare(end) < 0;
}
