/** What a server says in RESP3, as far as it is asked here. */
export type Reply = string | number | boolean | null | Error | readonly Reply[];

/** A message that was not asked for, as those of a channel are. */
export class Push {
  constructor(readonly parts: readonly Reply[]) {}
}

/** What a server refuses, as ioredis says it. */
export function replyError(message: string): Error {
  return Object.assign(new Error(message), { name: 'ReplyError' });
}

const CRLF = '\r\n';

export function encode(args: readonly (string | number | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}${CRLF}`)];
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg));
    parts.push(Buffer.from(`$${bytes.length}${CRLF}`), bytes, Buffer.from(CRLF));
  }
  return Buffer.concat(parts);
}

/** Reads what has arrived, as far as it is whole. Bulk strings are read as they are, byte by byte. */
export class Decoder {
  #bytes = Buffer.alloc(0);
  #at = 0;

  write(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes.subarray(this.#at), bytes]);
    this.#at = 0;
  }

  /** The next one, undefined when it has not wholly arrived. */
  read(): Reply | Push | undefined {
    const start = this.#at;
    const value = this.#value();
    if (value === undefined) this.#at = start;
    return value;
  }

  #value(): Reply | Push | undefined {
    const end = this.#bytes.indexOf(CRLF, this.#at);
    if (end < 0) return undefined;
    const kind = String.fromCharCode(this.#bytes[this.#at]!);
    const line = this.#bytes.toString('utf8', this.#at + 1, end);
    this.#at = end + 2;
    switch (kind) {
      case '+':
        return line;
      case '-':
        return replyError(line);
      case ':':
        return Number(line);
      case '_':
        return null;
      case '#':
        return line === 't';
      case '$':
        return this.#bulk(Number(line));
      case '=':
        return this.#bulk(Number(line))?.slice(4);
      case '*':
      case '~':
        return this.#list(Number(line));
      case '%':
        return this.#list(2 * Number(line));
      case '>': {
        const parts = this.#list(Number(line));
        return parts && new Push(parts);
      }
      default:
        throw new Error(`unknown kind of reply: ${kind}${line}`);
    }
  }

  #bulk(length: number): string | undefined {
    const end = this.#at + length;
    if (this.#bytes.length < end + 2) return undefined;
    const text = this.#bytes.toString('latin1', this.#at, end);
    this.#at = end + 2;
    return text;
  }

  #list(length: number): Reply[] | undefined {
    const list: Reply[] = [];
    while (list.length < length) {
      const value = this.#value();
      if (value === undefined) return undefined;
      list.push(value as Reply);
    }
    return list;
  }
}
