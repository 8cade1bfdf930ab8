import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
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
  /** The channels to which nobody listens here any more. */
  readonly dropped: readonly string[];
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
    -- Of a slot that is on its way here a script sees nothing yet.
    local dump = redis.pcall('DUMP', key)
    if type(dump) == 'string' then all[#all + 1] = { key, dump, redis.call('PEXPIRETIME', key) } end
  end
until cursor == '0'
return all`;

/** A redis-server that was just started. */
export interface Started {
  readonly folder: string;
  /** The file in which its clock stands. */
  readonly clock: number;
  readonly child: ChildProcess;
  readonly socket: Socket;
}

/** A real redis-server whose wall clock shows what it is told. One connection carries everything. */
export class RealRedis {
  readonly #decoder = new Decoder();
  #arrived: (() => void) | undefined;
  commands = 0;

  protected constructor(private readonly started: Started) {
    started.socket.on('data', (bytes) => {
      this.#decoder.write(bytes);
      this.#arrived?.();
    });
  }

  /** @param shim the library that shows a server the clock of a file */
  static async start(shim: string): Promise<RealRedis> {
    const server = new RealRedis(await started(shim, ['--port', '0', '--hz', '1']));
    await server.run(0, ['HELLO', 3]);
    return server;
  }

  /** @param at what its clock shows from now on, in milliseconds */
  set(at: number): void {
    const micros = Buffer.alloc(8);
    micros.writeBigInt64LE(BigInt(Math.floor(at * 1000)));
    writeSync(this.started.clock, micros, 0, 8, 0);
  }

  /** @param at what its clock shows then, in milliseconds */
  async run(at: number, args: readonly (string | number | Buffer)[]): Promise<Outcome> {
    this.commands++;
    this.set(at);
    // What was published before the answer to the second is there before it.
    this.started.socket.write(Buffer.concat([encode(args), encode(['PING', '~'])]));
    const messages: Message[] = [];
    const dropped: string[] = [];
    let reply: Reply = null;
    for (;;) {
      const said = this.#decoder.read();
      if (said === undefined) {
        await new Promise<void>((resolve) => (this.#arrived = resolve));
      } else if (said instanceof Push) {
        const [kind, channel, text] = said.parts as [string, string, string];
        if (kind.endsWith('message')) messages.push({ kind, channel, text });
        else if (kind === 'sunsubscribe') dropped.push(channel);
      } else if (said === '~') {
        return { reply, messages, dropped: dropped.toSorted() };
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
      'CONFIG SET min-replicas-to-write 0',
      'UNSUBSCRIBE',
      'SUNSUBSCRIBE',
      'FLUSHALL',
      'SCRIPT FLUSH',
    ]) {
      await this.run(0, words.split(' '));
    }
  }

  stop(): void {
    const { child, folder, socket } = this.started;
    socket.destroy();
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Starts one, in a folder of its own.
 * @param settings as on the command line
 * @param files what stands in its folder before, by name
 * @throws Error with what it logged, when it ends at once
 */
export async function started(
  shim: string,
  settings: readonly string[],
  files: Readonly<Record<string, string>> = {},
): Promise<Started> {
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-lock-simulation-'));
  const [path, clock, log] = ['socket', 'clock', 'log'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(clock, Buffer.alloc(8));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const args = ['--unixsocket', path, '--dir', folder, '--logfile', log, '--save', ''];
  args.push('--appendonly', 'no', ...settings, ...ClockShim.SETTINGS);
  const env = {
    ...process.env,
    LD_PRELOAD: shim,
    CLOCK_SHIM_FILE: clock,
    CLOCK_SHIM_ABSOLUTE: 'yes',
  };
  const child = spawn('redis-server', args, { env, stdio: 'ignore' });
  try {
    const socket = await connected(path, child);
    return { folder, clock: openSync(clock, 'r+'), child, socket };
  } catch (cause) {
    const logged = readFileSync(log, 'utf8');
    rmSync(folder, { recursive: true, force: true });
    throw new Error(`redis-server ended: ${logged}`, { cause });
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
