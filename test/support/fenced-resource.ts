import type { Redis } from 'ioredis';
import type { WorkerProcess } from './worker-process.js';

/** Accepts a write unless one with a greater token came before. */
const WRITE = `
  if tonumber(redis.call('GET', KEYS[1]) or 0) > tonumber(ARGV[1]) then return 0 end
  redis.call('SET', KEYS[1], ARGV[1])
  return 1`;

/** What a lock protects: a value in Redis that looks at the fencing token of whoever writes. */
export class FencedResource {
  constructor(
    private readonly redis: Redis,
    private readonly name: string,
  ) {}

  /** Whether a write with this token was accepted. */
  async write(token: number): Promise<boolean> {
    return (await this.redis.eval(WRITE, 1, this.name, token)) === 1;
  }

  /** The same by a worker, with the token of a lock that it holds or held. */
  writeFrom(worker: WorkerProcess, lock: string): Promise<boolean> {
    return worker.call('write', lock, WRITE, this.name);
  }
}
