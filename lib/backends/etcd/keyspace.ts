/**
 * How everything is named at the server: `<namespace>/<key>/<lease in hex>-<n>` is a member of the
 * queue of a key, as Go's `concurrency.Mutex` and `etcdctl lock <namespace>/<key>` name theirs, so
 * that all of them stand in one queue.
 */
export class Keyspace {
  constructor(private readonly namespace: string) {}

  queueOf(key: string): Queue {
    return new Queue(`${this.namespace}/${key}`);
  }

  /** The key in whose queue something of this name stands; undefined if it is not a key's. */
  keyOf(name: Buffer): string | undefined {
    const text = name.toString();
    return text.slice(this.namespace.length + 1, text.lastIndexOf('/')) || undefined;
  }

  /** From the first to before the end of all names of keys that begin so. */
  spanOf(beginning: string): { readonly first: Buffer; readonly end: Buffer } {
    const first = Buffer.from(`${this.namespace}/${beginning}`);
    const end = Buffer.from(first);
    // UTF-8 has no byte that could not be counted up.
    end[end.length - 1] = (end.at(-1) as number) + 1;
    return { first, end };
  }

  /**
   * A key that lives as long as this lease. It stands in the queue of the empty key, which is no
   * lock's, and below the namespace, so that the rights of a user cover it.
   */
  markerOf(lease: string): Buffer {
    return Buffer.from(`${this.namespace}//${hex(lease)}`);
  }

  /** The first key after the marker of this lease and all messages to who holds it. */
  afterMessagesOf(lease: string): Buffer {
    return Buffer.from(`${this.namespace}//${hex(lease)}/`);
  }

  /** For who holds this lease: stands between its marker and that end. */
  messageOf(lease: string, id: string): Buffer {
    return Buffer.from(`${this.namespace}//${hex(lease)}.${id}`);
  }
}

/** Who holds a key and who waits for it: the direct children of one prefix, by their create revisions. */
export class Queue {
  readonly prefix: Buffer;
  /** The first key after all that begin with the prefix: `0` follows `/`. */
  readonly end: Buffer;

  constructor(private readonly path: string) {
    this.prefix = Buffer.from(`${path}/`);
    this.end = Buffer.from(`${path}0`);
  }

  /** What the names of a lease's members begin with: a number follows. @param lease in hex */
  stemOf(lease: string): string {
    return `${this.path}/${lease}-`;
  }

  /** Not so for the members of a longer key, as in `a` and `a/b`. */
  hasMember(name: Buffer): boolean {
    return !name.includes('/', this.prefix.length);
  }
}

/** A lease as it stands in names. */
export function hex(lease: string): string {
  return BigInt(lease).toString(16);
}
