/** The keys of one resource, in the order in which every script takes them. */
export type ResourceKeys = readonly [
  lock: string,
  queue: string,
  deadlines: string,
  sequence: string,
];

/**
 * How everything is named at the server. All keys of a resource share the hash tag
 * `{namespace:bucket}`, so that each script stays within one slot; one node needs one bucket. The
 * tag comes first, so that braces in the keys themselves are harmless.
 */
export class Keyspace {
  readonly #tag: string;

  constructor(keyPrefix: string, namespace: string) {
    this.#tag = `${keyPrefix}{${namespace}:0}`;
  }

  of(key: string): ResourceKeys {
    return [
      `${this.#tag}:lock:${key}`,
      `${this.#tag}:queue:${key}`,
      `${this.#tag}:deadlines:${key}`,
      this.sequence,
    ];
  }

  /** Where the last fencing token stands: the one key that stays. */
  get sequence(): string {
    return `${this.#tag}:sequence`;
  }

  /** Before the process id: the channel on which that process is told of its grants. */
  get channel(): string {
    return `${this.#tag}:process:`;
  }

  /** Keys for trying out what the user may do. */
  get check(): readonly [string, string] {
    return [`${this.#tag}:check:string`, `${this.#tag}:check:set`];
  }
}
