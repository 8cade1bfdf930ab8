/** A client that is easily taken for one of ioredis: how it is told from one, and what to do instead. */
interface ForeignClient {
  readonly is: (client: Readonly<Record<string, unknown>>) => boolean;
  readonly mend: string;
}

/** By structure, as none of these packages need be installed; a proxy or a subclass of ioredis has none of it. */
const FOREIGN: readonly ForeignClient[] = [
  {
    // Of version 4 and newer; and of those before.
    is: ({ isOpen, internal_send_command: sending }) =>
      typeof isOpen === 'boolean' || typeof sending === 'function',
    mend: 'a client of the package redis (node-redis): give it to the backend of nestjs-lock/node-redis, or give a client of ioredis',
  },
  {
    is: ({ connected, data, expires }) =>
      typeof connected === 'boolean' && data !== undefined && expires !== undefined,
    mend: 'an ioredis-mock, which has no server to keep a lock: use MemoryBackend in tests, or a real Redis',
  },
];

/** What a client that is not one of ioredis is, and what to do about it; undefined where it is not known. */
export function foreignClient(client: object): string | undefined {
  const properties = client as Readonly<Record<string, unknown>>;
  return FOREIGN.find(({ is }) => is(properties))?.mend;
}
