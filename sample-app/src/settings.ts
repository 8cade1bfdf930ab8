import { Injectable, Module } from '@nestjs/common';

/** Where locks and stock live. */
export type Store =
  | { readonly kind: 'memory' }
  | { readonly kind: 'redis' | 'cluster' | 'redlock'; readonly urls: readonly string[] }
  | { readonly kind: 'etcd'; readonly hosts: readonly string[] };

/** What the environment says. Whatever it should not say stops the application before it starts. */
@Injectable()
export class Settings {
  /** 0 for any port that is free. */
  readonly port = readPort(process.env.PORT);

  readonly store = readStore(process.env.LOCK_BACKEND);
}

@Module({ providers: [Settings], exports: [Settings] })
export class SettingsModule {}

function readPort(given = '3000'): number {
  const port = Number(given);
  if (given.trim() !== '' && Number.isInteger(port) && port >= 0 && port < 65_536) return port;
  throw new Error(`PORT must be a number from 0 to 65535, got '${given}'`);
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
    default:
      throw new Error(
        `LOCK_BACKEND must be 'memory', 'redis', 'cluster', 'redlock' or 'etcd', got '${kind}'`,
      );
  }
}

function readList(kind: string, variable: string, example: string): string[] {
  const list = (process.env[variable] ?? '').split(',').map((one) => one.trim());
  if (list.every((one) => one !== '')) return list;
  throw new Error(`LOCK_BACKEND=${kind} needs ${variable}, for example '${example}'`);
}
