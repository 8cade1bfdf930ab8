import type { IEvent, IWatchResponse } from 'etcd3';
import { pause } from '../../clock.js';
import type { EtcdCalls, WatchStream } from './etcd-calls.js';

/** The longest pause before a broken stream is opened again, in milliseconds. */
const LONGEST_PAUSE = 1_000;

/** A refusal counts as so many failures in a row, since a new stream is quickly refused again. */
const REFUSED = 5;

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
 */
export type Change = IEvent | 'missed' | 'over';

interface Watched {
  readonly what: Watchable;
  /** What happened up to this revision is known. */
  readonly seen: string;
  readonly tell: (change: Change) => void;
  readonly begin: () => void;
}

/** A watch that goes on until it is ended. */
export interface Watch {
  /** Resolves when the server has begun it, or will not; from then on it tells at once. */
  readonly begun: Promise<void>;
  end(): void;
}

/** Tells of changes, for all watched keys of a process on one stream, which is open while there are any. */
export class EtcdWatch {
  readonly #watched = new Map<string, Watched>();
  #stream: WatchStream | undefined;
  #opening = false;
  #closed = false;
  #ids = 0;
  #failures = 0;

  constructor(private readonly calls: EtcdCalls) {}

  /** Tells what happens after this revision. */
  watch(what: Watchable, seen: string, tell: (change: Change) => void): Watch {
    const id = String(++this.#ids);
    let begin!: () => void;
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const watched = { what, seen, tell, begin };
    this.#watched.set(id, watched);
    if (this.#stream === undefined) void this.#open();
    else this.#create(id, watched);
    const end = () => {
      if (!this.#watched.delete(id)) return;
      if (this.#watched.size === 0) this.#drop();
      else this.#stream?.write({ cancel_request: { watch_id: id } });
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
  }

  /** From now on: etcd serves a watch that begins in the past only ten times a second, until it has caught up. */
  #create(id: string, { what: { key, end, puts } }: Watched): void {
    const range = end === undefined ? { key } : { key, range_end: end };
    const filters = puts ? [] : (['Noput'] as const);
    this.#stream?.write({ create_request: { watch_id: id, ...range, filters: [...filters] } });
  }

  #hear({ watch_id: id, header, created, canceled, ...rest }: IWatchResponse): void {
    const { compact_revision: compacted, events } = rest;
    const watched = this.#watched.get(id);
    if (watched === undefined) return;
    watched.begin();
    if (created && !canceled) {
      // It does not tell what happened in between.
      if (Number(header.revision) > Number(watched.seen)) watched.tell('missed');
    } else if (canceled && compacted !== '0') {
      this.#watched.delete(id);
      watched.tell('over');
    } else if (canceled) {
      // The login that the stream was opened with has ended.
      this.#failures = REFUSED;
      this.distrust();
    } else {
      for (const event of events) watched.tell(event);
    }
  }
}

/** Ended first: etcd3 would take the cancellation alone for a failure of the host. */
function discard(stream: WatchStream): void {
  stream.on('error', () => undefined);
  stream.end();
  stream.cancel();
}
