import { Injectable, Module } from '@nestjs/common';

/** What the environment says. Whatever it should not say stops the application before it starts. */
@Injectable()
export class Settings {
  /** 0 for any port that is free. */
  readonly port = readPort(process.env.PORT);

  /** The Redis that locks and stock live in; without one they live in the memory of this process. */
  readonly redisUrl = readRedisUrl(process.env.LOCK_BACKEND, process.env.REDIS_URL);
}

@Module({ providers: [Settings], exports: [Settings] })
export class SettingsModule {}

function readPort(given = '3000'): number {
  const port = Number(given);
  if (given.trim() !== '' && Number.isInteger(port) && port >= 0 && port < 65_536) return port;
  throw new Error(`PORT must be a number from 0 to 65535, got '${given}'`);
}

function readRedisUrl(backend = 'memory', url: string | undefined): string | undefined {
  if (backend === 'memory') return undefined;
  if (backend !== 'redis') {
    throw new Error(`LOCK_BACKEND must be 'memory' or 'redis', got '${backend}'`);
  }
  if (url) return url;
  throw new Error("LOCK_BACKEND=redis needs REDIS_URL, for example 'redis://localhost:6379'");
}
