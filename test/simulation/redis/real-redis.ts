import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClockShim } from '../../support/clock-shim.js';
import { Decoder, encode, Push, type Reply } from './resp.js';

/** What came of a command. */
export interface Outcome {
  readonly reply: Reply;
  /** What was published by it, to those who listen at this server. */
  readonly messages: readonly Message[];
}

export interface Message {
  /** `message` or `smessage`. */
  readonly kind: string;
  readonly channel: string;
  readonly text: string;
}

/** A key with its value and when it ends. */
type Kept = readonly [key: string, dump: string, expiry: number];

/** All keys of a server at one moment. */
export type Memory = readonly Kept[];

const DUMP = `
local all, cursor = {}, '0'
repeat
  local page = redis.call('SCAN', cursor, 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local dump = redis.call('DUMP', key)
    if dump then all[#all + 1] = { key, dump, redis.call('PEXPIRETIME', key) } end
  end
until cursor == '0'
return all`;

/** A real redis-server whose wall clock shows what it is told. One connection carries everything. */
export class RealRedis {
  readonly #decoder = new Decoder();
  #arrived: (() => void) | undefined;
  commands = 0;

  private constructor(
    private readonly folder: string,
    private readonly clock: number,
    private readonly child: ChildProcess,
    private readonly socket: Socket,
  ) {
    socket.on('data', (bytes) => {
      this.#decoder.write(bytes);
      this.#arrived?.();
    });
  }

  /** @param shim the library that shows a server the clock of a file */
  static async start(shim: string): Promise<RealRedis> {
    const folder = mkdtempSync(join(tmpdir(), 'nestjs-lock-simulation-'));
    const [path, clock] = [join(folder, 'socket'), join(folder, 'clock')];
    writeFileSync(clock, Buffer.alloc(8));
    const settings = `--port 0 --unixsocket ${path} --dir ${folder} --save --appendonly no --hz 1`;
    const args = settings.split(' ').flatMap((word) => (word === '--save' ? [word, ''] : [word]));
    args.push(...ClockShim.SETTINGS);
    const env = {
      ...process.env,
      LD_PRELOAD: shim,
      CLOCK_SHIM_FILE: clock,
      CLOCK_SHIM_ABSOLUTE: 'yes',
    };
    const child = spawn('redis-server', args, { env, stdio: 'ignore' });
    const socket = await connected(path, child);
    const server = new RealRedis(folder, openSync(clock, 'r+'), child, socket);
    await server.run(0, ['HELLO', 3]);
    return server;
  }

  /** @param at what its clock shows then, in milliseconds */
  async run(at: number, args: readonly (string | number | Buffer)[]): Promise<Outcome> {
    this.commands++;
    const micros = Buffer.alloc(8);
    micros.writeBigInt64LE(BigInt(Math.floor(at * 1000)));
    writeSync(this.clock, micros, 0, 8, 0);
    // What was published before the answer to the second is there before it.
    this.socket.write(Buffer.concat([encode(args), encode(['PING', '~'])]));
    const messages: Message[] = [];
    let reply: Reply = null;
    for (;;) {
      const said = this.#decoder.read();
      if (said === undefined) {
        await new Promise<void>((resolve) => (this.#arrived = resolve));
      } else if (said instanceof Push) {
        const [kind, channel, text] = said.parts as [string, string, string];
        if (kind.endsWith('message')) messages.push({ kind, channel, text });
      } else if (said === '~') {
        return { reply, messages };
      } else {
        reply = said;
      }
    }
  }

  async memory(at: number): Promise<Memory> {
    const { reply } = await this.run(at, ['EVAL', DUMP, 0]);
    if (reply instanceof Error) throw reply;
    return reply as unknown as Memory;
  }

  /** It has these keys from now on, and no other. */
  async recall(at: number, memory: Memory): Promise<void> {
    await this.run(at, ['FLUSHALL']);
    await this.restore(at, memory);
  }

  /** It has these keys as well from now on. */
  async restore(at: number, memory: Memory): Promise<void> {
    for (const [key, dump, expiry] of memory) {
      // What would have ended by then is no error.
      const end = expiry < 0 ? [0] : [expiry, 'ABSTTL'];
      const [ttl, ...flags] = end;
      await this.run(at, ['RESTORE', key, ttl!, Buffer.from(dump, 'latin1'), ...flags]);
    }
  }

  /** As it was when it started. */
  async clear(): Promise<void> {
    for (const words of [
      'REPLICAOF NO ONE',
      'UNSUBSCRIBE',
      'SUNSUBSCRIBE',
      'FLUSHALL',
      'SCRIPT FLUSH',
    ]) {
      await this.run(0, words.split(' '));
    }
  }

  stop(): void {
    this.socket.destroy();
    this.child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Connects as soon as the server listens. */
async function connected(path: string, child: ChildProcess): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (child.exitCode !== null) throw error;
      await sleep(5);
    }
  }
}
