/** Where locks and stock live. */
export type Store =
  | { readonly kind: 'memory' }
  | {
      readonly kind: 'redis' | 'cluster' | 'redlock' | 'postgres';
      readonly urls: readonly string[];
    }
  | { readonly kind: 'etcd'; readonly hosts: readonly string[] };

/**
 * What the environment says. Whatever it should not say stops the application before it starts. The
 * demo reads it as well, without Nest.
 */
export class Settings {
  /** 0 for any port that is free. */
  readonly port = readNumber('PORT', 3000, { least: 0, most: 65_535 });

  /** How many of them `npm run demo` starts, unless all is in the memory of one. */
  readonly processes = readNumber('PROCESSES', 4, { least: 1, most: 100 });

  readonly store = readStore(process.env.LOCK_BACKEND);
}

function readNumber(
  variable: string,
  usual: number,
  { least, most }: { least: number; most: number },
): number {
  const given = process.env[variable] ?? String(usual);
  const number = Number(given);
  const allowed = Number.isInteger(number) && least <= number && number <= most;
  if (given.trim() !== '' && allowed) return number;
  throw new Error(`${variable} must be a number from ${least} to ${most}, got '${given}'`);
}

function readStore(kind = 'memory'): Store {
  switch (kind) {
    case 'memory':
      return { kind };
    case 'redis':
      return { kind, urls: readList(kind, 'REDIS_URL', 'redis://localhost:6379').slice(0, 1) };
    case 'cluster':
      return { kind, urls: readList(kind, 'REDIS_URL', 'redis://host1:7000,redis://host2:7000') };
    case 'redlock':
      return {
        kind,
        urls: readList(kind, 'REDIS_URL', 'redis://host1,redis://host2,redis://host3'),
      };
    case 'etcd':
      return { kind, hosts: readList(kind, 'ETCD_HOSTS', 'http://localhost:2379') };
    case 'postgres': {
      const url = 'postgres://postgres@localhost:5432/postgres';
      // A comma may be part of it.
      return { kind, urls: [readList(kind, 'POSTGRES_URL', url).join()] };
    }
    default:
      throw new Error(
        `LOCK_BACKEND must be 'memory', 'redis', 'cluster', 'redlock', 'etcd' or 'postgres', got '${kind}'`,
      );
  }
}

function readList(kind: string, variable: string, example: string): string[] {
  const list = (process.env[variable] ?? '').split(',').map((one) => one.trim());
  if (list.every((one) => one !== '')) return list;
  throw new Error(`LOCK_BACKEND=${kind} needs ${variable}, for example '${example}'`);
}
