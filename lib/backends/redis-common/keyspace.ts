import { slotOf } from './cluster-slot.js';

/** The keys of one resource, in the order in which every script takes them. */
export type ResourceKeys = readonly [lock: string, queue: string, deadlines: string];

/**
 * How everything of one bucket is named at the server. All its keys share the hash tag
 * `{namespace:bucket}`, so that each script stays within one slot. The tag comes first, so that
 * braces in the keys themselves are harmless.
 */
export class Keyspace {
  readonly #tag: string;
  /** Where the last fencing token stands: the one key that always stays. */
  readonly sequence: string;
  /**
   * Where the server has written who it is: stays as well, when the failover guard is on. On a Cluster it is
   * never there, and that has its use: of a slot that is being moved, a node refuses each script that names
   * a key which it does not have, before anything is done. A script that was let in there would fail in
   * the midst, at the first key that it deletes and writes again.
   */
  readonly guard: string;
  /** What stands in its place in scripts that create nothing, so that they go on while a slot moves. */
  readonly guardInPlace: string;

  constructor(keyPrefix: string, namespace: string, bucket = 0, spread = false) {
    this.#tag = `${keyPrefix}{${namespace}:${bucket}}`;
    this.sequence = `${this.#tag}:sequence`;
    this.guard = `${this.#tag}:guard`;
    this.guardInPlace = spread ? this.sequence : this.guard;
  }

  of(key: string): ResourceKeys {
    const tag = this.#tag;
    return [this.lockOf(key), `${tag}:queue:${key}`, `${tag}:deadlines:${key}`];
  }

  lockOf(key: string): string {
    return `${this.#tag}:lock:${key}`;
  }

  /** Where is left what holders are told: see redis/scripts/_leave-word.lua. */
  get told(): string {
    return `${this.#tag}:told`;
  }

  /** Before the process id: the channel on which that process is told of its grants. */
  get channel(): string {
    return `${this.#tag}:process:`;
  }

  /** Keys for trying out what the user may do. */
  get check(): readonly [string: string, set: string, hash: string] {
    const check = `${this.#tag}:check`;
    return [`${check}:string`, `${check}:set`, `${check}:hash`];
  }
}

/** The names of the locks of all buckets, as SCAN shows them. */
export class LockNames {
  readonly #start: string;
  readonly #bucket: string;

  constructor(keyPrefix: string, namespace: string, spread: boolean) {
    this.#start = `${keyPrefix}{${namespace}:`;
    this.#bucket = spread ? '*' : '0';
  }

  /** What SCAN is to match: all that is wanted, and perhaps more, as there `?` is a byte. */
  pattern(keys: string): string {
    const start = this.#start.replace(/[*?[\]\\]/g, '\\$&');
    const rest = keys.replace(/[[\]\\]/g, '\\$&').replaceAll('?', '*');
    return `${start}${this.#bucket}}:lock:${rest}`;
  }

  /** The key whose lock is named so; undefined when it is another's. */
  keyOf(name: string): string | undefined {
    if (!name.startsWith(this.#start)) return undefined;
    return /^\d+\}:lock:(.+)$/s.exec(name.slice(this.#start.length))?.[1];
  }
}

/** Over how many hash tags the keys are spread where their slots lie on many nodes. */
export const BUCKETS = 256;

/** The slots of all buckets. */
export function slotsOfBuckets(keyPrefix: string, namespace: string): number[] {
  return Array.from({ length: BUCKETS }, (_, bucket) =>
    slotOf(new Keyspace(keyPrefix, namespace, bucket).sequence),
  );
}

/** The bucket of a key: the same in every process and every version. FNV-1a over UTF-16 units. */
export function bucketOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  return ((hash >>> 16) ^ hash) & (BUCKETS - 1);
}
